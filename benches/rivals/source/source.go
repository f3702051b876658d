// Package source is what all rivals in Go share: the market. In: updates a second and topics. Out: quotes of 48 bytes, each topic in turn, made
// when they are due, handed on one by one. Bounded: it waits for whoever takes them.
package source

import (
	"encoding/binary"
	"time"
)

// Run makes quotes for ever; `flush` is called after those of each millisecond.
func Run(rate, topics int64, take func(topic int64, quote []byte), flush func()) {
	begin := time.Now()
	made := int64(0)
	for range time.Tick(time.Millisecond) {
		due := int64(time.Since(begin)) / 1000 * rate / 1000000
		for ; made < due; made++ {
			topic := made % topics
			take(topic, quote(topic, made/topics+1, begin.Add(time.Duration((made+1)*1000000/rate*1000))))
		}
		flush()
	}
}

func quote(topic, sequence int64, due time.Time) []byte {
	quote := make([]byte, 48)
	binary.LittleEndian.PutUint32(quote[0:], uint32(topic))
	binary.LittleEndian.PutUint32(quote[4:], 7)
	binary.LittleEndian.PutUint64(quote[8:], uint64(sequence))
	binary.LittleEndian.PutUint64(quote[16:], uint64(due.UnixNano()))
	binary.LittleEndian.PutUint64(quote[24:], uint64(1000000+sequence))
	binary.LittleEndian.PutUint64(quote[32:], uint64(1000001+sequence))
	binary.LittleEndian.PutUint32(quote[40:], 9)
	return quote
}
