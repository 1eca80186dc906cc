package main

// What to do, and what is told of it; the words are those of tools/client_plan.py.

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

const timeoutDefault = 10 * time.Second

type plan struct {
	Target        string `json:"target"`
	TLS           *files `json:"tls"`
	ServiceConfig string `json:"service_config"`
	Steps         []step `json:"steps"`
}

type files struct {
	CA          string `json:"ca"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

type step struct {
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Path        string            `json:"path"`
	Request     string            `json:"request"`
	TimeoutMS   int               `json:"timeout_ms"`
	Metadata    map[string]string `json:"metadata"`
	MetadataBin map[string][]byte `json:"metadata_bin"`
	Gzip        bool              `json:"gzip"`
	PauseMS     int               `json:"pause_ms"`
	CancelAfter int               `json:"cancel_after"`
	Count       int               `json:"count"`
	Concurrency int               `json:"concurrency"`
	Steps       []step            `json:"steps"`
}

type observation struct {
	Name     string         `json:"name"`
	Code     int            `json:"code"`
	Message  string         `json:"message"`
	Details  []byte         `json:"details"`
	Reason   string         `json:"reason"`
	Fields   []string       `json:"fields"`
	Messages [][]byte       `json:"messages"`
	Health   []string       `json:"health"`
	Codes    map[string]int `json:"codes"`
	Steps    []observation  `json:"steps"`
}

func (s step) timeout() time.Duration {
	if s.TimeoutMS == 0 {
		return timeoutDefault
	}
	return time.Duration(s.TimeoutMS) * time.Millisecond
}

func (s step) pause() {
	time.Sleep(time.Duration(s.PauseMS) * time.Millisecond)
}

func readPlan(path string) (plan, error) {
	var read plan
	data, err := os.ReadFile(path)
	if err != nil {
		return read, err
	}
	return read, json.Unmarshal(data, &read)
}

// readRequests returns the messages of a file in which each follows its length, four bytes, big-endian.
func readRequests(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var requests [][]byte
	for len(data) > 0 {
		length := int(binary.BigEndian.Uint32(data))
		if len(data) < 4+length {
			return nil, fmt.Errorf("%s is cut", path)
		}
		requests = append(requests, data[4:4+length])
		data = data[4+length:]
	}
	return requests, nil
}
