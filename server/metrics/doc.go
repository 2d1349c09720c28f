// Package metrics shows a server's counters to Prometheus. It is apart from package
// server so that programs that embed the server need not carry the client library.
//
//	prometheus.MustRegister(metrics.NewCollector(srv))
//	http.Handle("/metrics", promhttp.Handler())
//
// Nothing is counted here: a scrape asks [server.Server.Stats] once, and says what it
// answered. Labels are routes, codes, limits and loops, never connections, users or
// addresses, so the number of series is bounded by the configuration.
package metrics
