// The source of the rival NATS, which has none inside: a publisher beside it on the same core. In: the server's port, updates a second, topics.
// Out: PUB lines with quotes of 48 bytes, those of a millisecond in one write. Its CPU time is not counted as the server's.
package main

import (
	"bufio"
	"io"
	"log"
	"net"
	"os"
	"strconv"

	"../source"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("give PORT UPDATES_PER_SECOND TOPICS")
	}
	rate, _ := strconv.ParseInt(os.Args[2], 10, 64)
	count, _ := strconv.ParseInt(os.Args[3], 10, 64)
	server, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	out := bufio.NewWriterSize(server, 64<<10)
	out.WriteString("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n")
	out.Flush()
	pings := make(chan struct{}, 8)
	go func() {
		lines := bufio.NewReader(server)
		for {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				os.Exit(0)
			}
			if line == "PING\r\n" {
				pings <- struct{}{}
			}
		}
	}()
	take := func(topic int64, quote []byte) {
		out.WriteString("PUB quote.")
		out.WriteString(strconv.FormatInt(topic, 10))
		out.WriteString(" 48\r\n")
		out.Write(quote)
		out.WriteString("\r\n")
	}
	flush := func() {
		select {
		case <-pings:
			out.WriteString("PONG\r\n")
		default:
		}
		if out.Flush() != nil {
			os.Exit(0)
		}
	}
	source.Run(rate, count, take, flush)
}
