package record_test

import (
	"crypto/tls"
	"fmt"
	"io"

	"github.com/usher-ws/usher/record"
)

// Both sides of a connection whose secrets are known, as a key log tells them.
func Example() {
	const suite = tls.TLS_AES_128_GCM_SHA256
	secrets := [][]byte{[]byte("traffic secret 0 of this client."), []byte("traffic secret 0 of this server.")}
	var server, client record.Conn
	if err := server.Init13(record.Server, suite, secrets[0], secrets[1]); err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Init13(record.Client, suite, secrets[0], secrets[1]); err != nil {
		fmt.Println(err)
		return
	}

	var ciphers record.Ciphers // made anew whenever they are not those of the Conn
	sealed, _ := client.Append(&ciphers, nil, []byte("hello"))
	sealed, _ = client.AppendEnd(&ciphers, sealed, nil)
	fmt.Println(len(sealed), "bytes")

	data, n, err := server.Read(&ciphers, sealed)
	fmt.Printf("%q, %d bytes, %v, %t\n", data, n, err, err == io.EOF)
	// Output:
	// 51 bytes
	// "hello", 27 bytes, EOF, true
}

// What a peer does wrong comes with the alert for it.
func ExampleError() {
	var server record.Conn
	if err := server.Init13(record.Server, tls.TLS_AES_128_GCM_SHA256, make([]byte, 32), make([]byte, 32)); err != nil {
		fmt.Println(err)
		return
	}
	var ciphers record.Ciphers
	_, _, err := server.Read(&ciphers, []byte("GET / HTTP/1.1\r\n\r\n"))
	fmt.Println(err)
	alert, _ := server.AppendEnd(&ciphers, nil, err)
	fmt.Println(len(alert), "bytes")
	// Output:
	// record: record of another version (protocol_version)
	// 24 bytes
}
