// A program whose profiles are pulled: net/http/pprof, with work, garbage, a contended lock and a channel that
// blocks. Prints its address.
package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"runtime"
	"sync"
	"time"
)

var kept [64][]byte

//go:noinline
func kitgateBurn(lock *sync.Mutex, ticks chan<- int) {
	for number := 0; ; number++ {
		lock.Lock()
		sum := 0
		for i := 0; i < 200_000; i++ {
			sum += i * i
		}
		kept[number%len(kept)] = make([]byte, 64<<10+sum&1)
		lock.Unlock()
		ticks <- number
		time.Sleep(time.Millisecond)
	}
}

func main() {
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	runtime.MemProfileRate = 4096
	var lock sync.Mutex
	ticks := make(chan int)
	for range [3]int{} {
		go kitgateBurn(&lock, ticks)
	}
	go func() {
		for range ticks {
		}
	}()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	panic(http.Serve(listener, nil))
}
