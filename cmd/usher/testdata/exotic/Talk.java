// Java's own client, java.net.http, against a running usher:
// java Talk.java echo=URL refused=URL chat=URL page=URL "sizes=N …" [tls=TLSv1.3 ca=FILE]
// prints what it saw as one line of JSON. A certificate of ca and its key are shown with
// cert=FILE key=FILE.

import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.*;
import java.util.concurrent.*;
import javax.net.ssl.*;

class Talk {
  static final Map<String, String> job = new HashMap<>();

  /** heard is one client's messages, and what else it is told; a close is "close CODE". */
  static class Heard extends LinkedBlockingQueue<Object> implements WebSocket.Listener {
    final StringBuilder text = new StringBuilder();
    final ByteArrayOutputStream binary = new ByteArrayOutputStream();

    public CompletionStage<?> onText(WebSocket ws, CharSequence part, boolean last) {
      text.append(part);
      if (last) {
        add(text.toString());
        text.setLength(0);
      }
      ws.request(1);
      return null;
    }

    public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer part, boolean last) {
      byte[] b = new byte[part.remaining()];
      part.get(b);
      binary.writeBytes(b);
      if (last) {
        add(ByteBuffer.wrap(binary.toByteArray()));
        binary.reset();
      }
      ws.request(1);
      return null;
    }

    public CompletionStage<?> onPong(WebSocket ws, ByteBuffer data) {
      add("pong " + StandardCharsets.UTF_8.decode(data));
      ws.request(1);
      return null;
    }

    public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
      add("close " + code);
      return null;
    }

    public void onError(WebSocket ws, Throwable error) {
      add("error " + error);
    }
  }

  public static void main(String[] args) throws Exception {
    for (String arg : args) {
      String[] pair = arg.split("=", 2);
      job.put(pair[0], pair[1]);
    }
    // A new key after 100 KB, which is less than what is echoed.
    Security.setProperty("jdk.tls.keyLimits", "AES/GCM/NoPadding KeyUpdate 100000");
    HttpClient client = client();
    Map<String, Object> seen = new LinkedHashMap<>();
    page(client, seen);
    echo(client, seen);
    tooLarge(client, seen);
    seen.put("refused", refused(client));
    seen.put("chat", chat(client));
    System.out.println(json(seen));
  }

  /** client is one with the defaults of Java, which prefers HTTP/2. */
  static HttpClient client() throws Exception {
    HttpClient.Builder builder = HttpClient.newBuilder();
    if (job.containsKey("ca")) {
      builder.sslContext(trust()).sslParameters(new SSLParameters(null, new String[] {job.get("tls")}));
    }
    return builder.build();
  }

  static SSLContext trust() throws Exception {
    KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType()), own = KeyStore.getInstance(KeyStore.getDefaultType());
    trusted.load(null, null);
    own.load(null, null);
    trusted.setCertificateEntry("ca", certificate(job.get("ca")));
    if (job.containsKey("cert")) {
      String pem = Files.readString(Path.of(job.get("key"))).replaceAll("-----[^-]*-----|\\s", "");
      var key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
      own.setKeyEntry("own", key, new char[0], new java.security.cert.Certificate[] {certificate(job.get("cert"))});
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, new char[0]);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  static java.security.cert.Certificate certificate(String file) throws Exception {
    try (InputStream in = Files.newInputStream(Path.of(file))) {
      return CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
  }

  static WebSocket open(HttpClient client, String url, Heard heard) {
    return client.newWebSocketBuilder().buildAsync(URI.create(url), heard).join();
  }

  static void page(HttpClient client, Map<String, Object> seen) throws Exception {
    URI page = URI.create(job.get("page"));
    HttpResponse<String> got = client.send(HttpRequest.newBuilder(page).build(), BodyHandlers.ofString());
    seen.put("page", got.statusCode() + " " + got.version() + " " + got.body().contains("<html"));
    got.sslSession().ifPresent(s -> seen.put("tls", s.getProtocol() + " " + s.getCipherSuite()));
    HttpRequest logIn = HttpRequest.newBuilder(page.resolve("/token")).header("Content-Type", "application/x-www-form-urlencoded")
        .POST(BodyPublishers.ofString("username=alice&password=wonderland")).build();
    got = client.send(logIn, BodyHandlers.ofString());
    seen.put("logIn", got.statusCode() + " " + got.body().contains("access_token"));
  }

  static void echo(HttpClient client, Map<String, Object> seen) throws Exception {
    Heard heard = new Heard();
    WebSocket ws = open(client, job.get("echo"), heard);
    List<String> echoed = new ArrayList<>();
    for (String size : job.get("sizes").split(" ")) {
      String text = "x".repeat(Integer.parseInt(size));
      ws.sendText(text, true).join();
      if (heard.take().equals(text)) echoed.add("text " + size);
      ByteBuffer binary = ByteBuffer.wrap(text.getBytes());
      ws.sendBinary(binary.duplicate(), true).join();
      if (heard.take().equals(binary)) echoed.add("binary " + size);
    }
    seen.put("echoed", echoed);
    for (String part : List.of("in ", "three ", "fragments")) ws.sendText(part, part.equals("fragments")).join();
    seen.put("fragmented", heard.take());
    ws.sendPing(ByteBuffer.wrap("are you there".getBytes())).join();
    seen.put("pong", heard.take().equals("pong are you there"));
    ws.sendClose(1000, "bye").join();
    seen.put("close", code(heard.take()));
  }

  static void tooLarge(HttpClient client, Map<String, Object> seen) throws Exception {
    Heard heard = new Heard();
    open(client, job.get("echo"), heard).sendBinary(ByteBuffer.allocate((64 << 10) + 1), true);
    seen.put("tooLarge", code(heard.take()));
  }

  static Object code(Object end) {
    return end.toString().startsWith("close ") ? (Object) Integer.valueOf(end.toString().substring(6)) : end;
  }

  static Map<String, Object> refused(HttpClient client) throws Exception {
    try {
      open(client, job.get("refused"), new Heard());
      return Map.of("status", 101);
    } catch (CompletionException e) {
      if (!(e.getCause() instanceof WebSocketHandshakeException)) throw e;
      HttpResponse<?> response = ((WebSocketHandshakeException) e.getCause()).getResponse();
      return Map.of("status", response.statusCode(), "challenge", response.headers().firstValue("WWW-Authenticate").orElse(""),
          "body", Objects.toString(response.body(), ""));
    }
  }

  static List<Object> chat(HttpClient client) throws Exception {
    Heard heard = new Heard();
    WebSocket ws = open(client, job.get("chat"), heard);
    List<Object> said = new ArrayList<>(List.of(heard.take()));
    ws.sendText("hi", true).join();
    said.add(heard.take());
    ws.sendClose(1000, "").join();
    heard.take();
    return said;
  }

  static String json(Object value) {
    if (value instanceof Map<?, ?> map) {
      StringJoiner all = new StringJoiner(",", "{", "}");
      map.forEach((name, v) -> all.add(json(name) + ":" + json(v)));
      return all.toString();
    }
    if (value instanceof List<?> list) {
      StringJoiner all = new StringJoiner(",", "[", "]");
      list.forEach(v -> all.add(json(v)));
      return all.toString();
    }
    if (value instanceof String s) return '"' + s.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    return String.valueOf(value);
  }
}
