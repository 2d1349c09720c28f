package handshake_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/usher-ws/usher/record"
	"github.com/usher-ws/usher/record/handshake"
)

// A server takes over from crypto/tls behind the handshake. Its client is all crypto/tls.
func Example() {
	server, err := handshake.NewServer(&tls.Config{Certificates: []tls.Certificate{selfSigned()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	here, there := net.Pipe()
	defer there.Close()
	go func() {
		defer here.Close()
		here.SetDeadline(time.Now().Add(10 * time.Second))
		r, err := server.Handshake(context.Background(), here, nil)
		if err != nil {
			return
		}
		defer r.Conn.Clear()
		var ciphers record.Ciphers
		sealed, _ := r.Conn.Append(&ciphers, nil, []byte("hello"))
		sealed, _ = r.Conn.AppendEnd(&ciphers, sealed, nil)
		here.Write(sealed)
	}()

	client := tls.Client(there, &tls.Config{InsecureSkipVerify: true})
	b := make([]byte, 100)
	n, err := client.Read(b)
	fmt.Printf("%q, %v, %s\n", b[:n], err, tls.VersionName(client.ConnectionState().Version))
	// Output: "hello", <nil>, TLS 1.3
}

func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
