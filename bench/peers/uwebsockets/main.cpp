// The echo of uWebSockets, for usher bench versus --also: uws PORT, or uws PORT CERT KEY to speak
// TLS. It is not Go, and so not built with the others: bench/README.md says how.
#include "App.h"

#include <cstdio>
#include <cstdlib>

template <bool SSL> static void serve(uWS::TemplatedApp<SSL> &&app, int port) {
    struct Nothing {};
    app
        .template ws<Nothing>("/echo", {
            .compression = uWS::DISABLED,
            .maxPayloadLength = 64 * 1024,
            .idleTimeout = 300,
            .maxBackpressure = 1024 * 1024,
            .message = [](auto *ws, std::string_view message, uWS::OpCode op) { ws->send(message, op); },
        })
        .template ws<Nothing>("/fanout", {
            .compression = uWS::DISABLED,
            .maxPayloadLength = 64 * 1024,
            .idleTimeout = 300,
            .maxBackpressure = 16 * 1024 * 1024,
            .open = [](auto *ws) { ws->subscribe("all"); },
            .message =
                [](auto *ws, std::string_view message, uWS::OpCode op) {
                    ws->publish("all", message, op); // to all but this one
                    ws->send(message, op);
                },
        })
        .any("/refuse", [](auto *res, auto *) {
            res->writeStatus("401 Unauthorized")
                ->writeHeader("Content-Type", "application/problem+json")
                ->end("{\"status\":401,\"code\":\"no\"}", true);
        })
        .listen("127.0.0.1", port, [](auto *socket) {
            if (!socket) {
                fputs("cannot listen\n", stderr);
                exit(1);
            }
        })
        .run();
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 9001;
#ifndef LIBUS_NO_SSL
    if (argc > 3) {
        serve(uWS::SSLApp({.key_file_name = argv[3], .cert_file_name = argv[2]}), port);
        return 0;
    }
#endif
    serve(uWS::App(), port);
}
