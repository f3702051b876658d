// A rival: the centrifuge library (Debian's 0.15) in its protobuf protocol. In: port, folder of the certificate, updates a second, topics. Out: one
// publication an update, which the library batches by itself. Bounded: the library's queue of 10 MB a client, whose overrun ends it.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	"../source"
	"github.com/centrifugal/centrifuge"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("give PORT FOLDER UPDATES_PER_SECOND TOPICS")
	}
	port, folder := os.Args[1], os.Args[2]
	rate, _ := strconv.ParseInt(os.Args[3], 10, 64)
	count, _ := strconv.ParseInt(os.Args[4], 10, 64)

	config := centrifuge.DefaultConfig
	config.ClientChannelLimit = int(count)
	node, err := centrifuge.New(config)
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "bench"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	names := make([]string, count)
	for topic := range names {
		names[topic] = strconv.Itoa(topic)
	}
	publish := func(topic int64, quote []byte) {
		if _, err := node.Publish(names[topic], quote); err != nil {
			log.Print(err)
		}
	}
	go source.Run(rate, count, publish, func() {})

	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	server := &http.Server{
		Addr:         "127.0.0.1:" + port,
		TLSConfig:    &tls.Config{MinVersion: tls.VersionTLS13},
		ErrorLog:     log.New(os.Stderr, "", 0),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	fmt.Println("ready")
	log.Fatal(server.ListenAndServeTLS(folder+"/certificate.pem", folder+"/key.pem"))
}
