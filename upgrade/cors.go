package upgrade

import "time"

// A page whose upgrade was refused learns nothing from its browser but close
// code 1006. It may then fetch the same URL: the probe. These are the answers
// to that fetch, and the header lines without which its script could not read
// them. The handshake itself knows no CORS.

// appendCORS lets the page of r's origin read the answer, the token in its
// cookie included.
func appendCORS(dst []byte, r *Request) []byte {
	dst = append(dst, "Access-Control-Allow-Origin: "...)
	dst = append(dst, r.firstOf(hOrigin)...)
	return append(dst, "\r\nAccess-Control-Allow-Credentials: true"+
		"\r\nAccess-Control-Expose-Headers: Retry-After, WWW-Authenticate"+
		"\r\nVary: Origin\r\n"...)
}

// appendProbe appends the answer of a probe whose upgrade would succeed.
func appendProbe(dst []byte, r *Request, now time.Time) []byte {
	dst = appendStatusLine(dst, 200, now)
	dst = append(dst, "Content-Type: application/json"+
		"\r\nContent-Length: 13"+
		"\r\nConnection: close"+
		"\r\nCache-Control: no-store\r\n"...)
	if r.cors {
		dst = appendCORS(dst, r)
	}
	return append(dst, "\r\n"+`{"code":"ok"}`...)
}

// appendPreflight appends the answer to OPTIONS. A foreign origin gets the
// methods but no permission.
func appendPreflight(dst []byte, r *Request, now time.Time) []byte {
	dst = appendStatusLine(dst, 204, now)
	dst = append(dst, "Allow: GET, HEAD, OPTIONS"+
		"\r\nConnection: close"+
		"\r\nCache-Control: no-store\r\n"...)
	if r.cors {
		dst = appendCORS(dst, r)
		dst = append(dst, "Access-Control-Allow-Methods: GET, HEAD, OPTIONS"+
			"\r\nAccess-Control-Allow-Headers: Authorization"+
			"\r\nAccess-Control-Max-Age: 600\r\n"...)
	}
	return append(dst, "\r\n"...)
}
