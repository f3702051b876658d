// A rival: Gin with gorilla/websocket, two goroutines and a channel for each client. In: port, folder of the certificate, updates a second, topics,
// 'plain' or 'batch'. Out: quotes of 48 bytes, one a message, or all that wait for a client in one. Bounded: the channel; one more is dropped.
package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"../source"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
)

const channel = 4096
const largestBatch = 64 << 10

type hub struct {
	sync.RWMutex
	topics []map[chan []byte]struct{}
}

func main() {
	if len(os.Args) != 6 {
		log.Fatal("give PORT FOLDER UPDATES_PER_SECOND TOPICS plain|batch")
	}
	port, folder, batch := os.Args[1], os.Args[2], os.Args[5] == "batch"
	rate, _ := strconv.ParseInt(os.Args[3], 10, 64)
	count, _ := strconv.ParseInt(os.Args[4], 10, 64)
	hub := &hub{topics: make([]map[chan []byte]struct{}, count)}
	for topic := range hub.topics {
		hub.topics[topic] = map[chan []byte]struct{}{}
	}
	go source.Run(rate, count, hub.publish, func() {})

	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 4096}
	engine.GET("/v1/stream", func(context *gin.Context) {
		if client, err := upgrader.Upgrade(context.Writer, context.Request, nil); err == nil {
			hub.serve(client, batch)
		}
	})
	server := &http.Server{
		Addr:      "127.0.0.1:" + port,
		Handler:   engine,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13},
		ErrorLog:  log.New(os.Stderr, "", 0),
		// A WebSocket is an upgrade of HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	fmt.Println("ready")
	log.Fatal(server.ListenAndServeTLS(folder+"/certificate.pem", folder+"/key.pem"))
}

func (hub *hub) publish(topic int64, quote []byte) {
	hub.RLock()
	defer hub.RUnlock()
	for updates := range hub.topics[topic] {
		select {
		case updates <- quote:
		default:
			// The client sees it by the sequence.
		}
	}
}

func (hub *hub) serve(client *websocket.Conn, batch bool) {
	defer client.Close()
	_, text, err := client.ReadMessage()
	if err != nil {
		return
	}
	var wanted []int
	for _, number := range strings.Split(string(text), ",") {
		topic, err := strconv.Atoi(number)
		if err != nil || topic < 0 || topic >= len(hub.topics) {
			return
		}
		wanted = append(wanted, topic)
	}
	updates, gone := make(chan []byte, channel), make(chan struct{})
	if client.WriteMessage(websocket.TextMessage, []byte("ok")) != nil {
		return
	}
	go write(client, updates, gone, batch)
	hub.Lock()
	for _, topic := range wanted {
		hub.topics[topic][updates] = struct{}{}
	}
	hub.Unlock()
	for err == nil {
		_, _, err = client.ReadMessage()
	}
	hub.Lock()
	for _, topic := range wanted {
		delete(hub.topics[topic], updates)
	}
	hub.Unlock()
	close(gone)
}

func write(client *websocket.Conn, updates chan []byte, gone chan struct{}, batch bool) {
	var several []byte
	for {
		select {
		case <-gone:
			return
		case quote := <-updates:
			if batch {
				several = append(several[:0], quote...)
				for more := len(updates); more > 0 && len(several) < largestBatch; more-- {
					several = append(several, <-updates...)
				}
				quote = several
			}
			if client.WriteMessage(websocket.BinaryMessage, quote) != nil {
				client.Close()
				return
			}
		}
	}
}
