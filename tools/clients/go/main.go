// Command clients carries out a plan with grpc-go and tells what it saw, one JSON object a line.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	beforeRestart = 500 * time.Millisecond
	afterRestart  = 2 * time.Second
)

// raw carries messages as the bytes that they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" }

type driver struct {
	connection *grpc.ClientConn
	health     grpc_health_v1.HealthClient
	input      *bufio.Reader
	output     *json.Encoder
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	todo, err := readPlan(path)
	if err != nil {
		return err
	}
	transport, err := transportCredentials(todo.TLS)
	if err != nil {
		return err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}),
		grpc.WithNoProxy(),
	}
	if todo.ServiceConfig != "" {
		options = append(options, grpc.WithDefaultServiceConfig(todo.ServiceConfig))
	} else {
		options = append(options, grpc.WithDisableRetry())
	}
	connection, err := grpc.NewClient(todo.Target, options...)
	if err != nil {
		return err
	}
	defer connection.Close()
	d := &driver{
		connection: connection,
		health:     grpc_health_v1.NewHealthClient(connection),
		input:      bufio.NewReader(os.Stdin),
		output:     json.NewEncoder(os.Stdout),
	}
	version := fmt.Sprintf("grpc-go %s, %s", grpc.Version, runtime.Version())
	if err := d.output.Encode(map[string]string{"version": version}); err != nil {
		return err
	}
	for _, each := range todo.Steps {
		seen, err := d.do(each)
		if err != nil {
			return fmt.Errorf("%s: %w", each.Name, err)
		}
		if err := d.output.Encode(seen); err != nil {
			return err
		}
	}
	return nil
}

func transportCredentials(given *files) (credentials.TransportCredentials, error) {
	if given == nil {
		return insecure.NewCredentials(), nil
	}
	authority, err := os.ReadFile(given.CA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(authority) {
		return nil, errors.New("no certificate in " + given.CA)
	}
	if given.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(given.Certificate, given.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

func (d *driver) do(s step) (observation, error) {
	switch s.Kind {
	case "unary":
		request, err := os.ReadFile(s.Request)
		if err != nil {
			return observation{}, err
		}
		answer, err := d.call(s, request)
		seen := observed(s.Name, err)
		if err == nil {
			seen.Messages = [][]byte{answer}
		}
		return seen, nil
	case "stream":
		return d.stream(s)
	case "many":
		return d.many(s, func() bool { return false })
	case "restart":
		return d.throughRestart(s)
	case "health_check":
		return d.healthCheck(s), nil
	case "health_watch":
		return d.healthWatch(s), nil
	case "together":
		return d.together(s)
	}
	return observation{}, errors.New("unknown kind " + s.Kind)
}

// context returns what goes with each call of a step: its deadline and its metadata.
func (s step) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout())
	for name, value := range s.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, name, value)
	}
	for name, value := range s.MetadataBin {
		ctx = metadata.AppendToOutgoingContext(ctx, name, string(value))
	}
	return ctx, cancel
}

func (s step) callOptions() []grpc.CallOption {
	options := []grpc.CallOption{grpc.ForceCodec(raw{})}
	if s.Gzip {
		options = append(options, grpc.UseCompressor("gzip"))
	}
	return options
}

func (d *driver) call(s step, request []byte) ([]byte, error) {
	ctx, cancel := s.context()
	defer cancel()
	var answer []byte
	err := d.connection.Invoke(ctx, s.Path, &request, &answer, s.callOptions()...)
	return answer, err
}

func (d *driver) stream(s step) (observation, error) {
	request, err := os.ReadFile(s.Request)
	if err != nil {
		return observation{}, err
	}
	ctx, cancel := s.context()
	defer cancel()
	description := &grpc.StreamDesc{ServerStreams: true}
	stream, err := d.connection.NewStream(ctx, description, s.Path, s.callOptions()...)
	if err == nil {
		err = stream.SendMsg(&request)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	var messages [][]byte
	for err == nil {
		var message []byte
		if err = stream.RecvMsg(&message); err != nil {
			break
		}
		messages = append(messages, message)
		if len(messages) == s.CancelAfter {
			cancel()
		}
		s.pause()
	}
	seen := observed(s.Name, err)
	seen.Messages = messages
	return seen, nil
}

// many makes calls with the requests in turn, some at a time, until it is told to stop or has made them all.
func (d *driver) many(s step, stop func() bool) (observation, error) {
	requests, err := readRequests(s.Request)
	if err != nil {
		return observation{}, err
	}
	seen := observation{Name: s.Name, Codes: map[string]int{}, Messages: make([][]byte, len(requests))}
	var next atomic.Int64
	var lock sync.Mutex
	var workers sync.WaitGroup
	for range s.Concurrency {
		workers.Go(func() {
			for {
				index := int(next.Add(1)) - 1
				if stop() || (s.Count > 0 && index >= s.Count) {
					return
				}
				answer, err := d.call(s, requests[index%len(requests)])
				lock.Lock()
				seen.Codes[strconv.Itoa(int(status.Code(err)))]++
				if err != nil && seen.Message == "" {
					seen.Message = err.Error()
				}
				held := &seen.Messages[index%len(requests)]
				switch {
				case err != nil:
				case *held != nil && string(*held) != string(answer):
					seen.Message = "a request was answered in two ways"
				default:
					*held = answer
				}
				lock.Unlock()
				s.pause()
			}
		})
	}
	workers.Wait()
	return seen, nil
}

// throughRestart makes calls while the server is stopped and another one takes its place.
func (d *driver) throughRestart(s step) (observation, error) {
	var over atomic.Bool
	var asked error
	go func() {
		time.Sleep(beforeRestart)
		asked = d.output.Encode(map[string]string{"ask": "restart"})
		if asked == nil {
			_, asked = d.input.ReadString('\n')
		}
		time.Sleep(afterRestart)
		over.Store(true)
	}()
	seen, err := d.many(s, over.Load)
	return seen, errors.Join(err, asked)
}

func (d *driver) healthCheck(s step) observation {
	ctx, cancel := s.context()
	defer cancel()
	answer, err := d.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	seen := observed(s.Name, err)
	if err == nil {
		seen.Health = []string{answer.Status.String()}
	}
	return seen
}

func (d *driver) healthWatch(s step) observation {
	ctx, cancel := s.context()
	defer cancel()
	watch, err := d.health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	var health []string
	for err == nil {
		var answer *grpc_health_v1.HealthCheckResponse
		if answer, err = watch.Recv(); err != nil {
			break
		}
		health = append(health, answer.Status.String())
		if len(health) == s.CancelAfter {
			cancel()
		}
	}
	seen := observed(s.Name, err)
	seen.Health = health
	return seen
}

func (d *driver) together(s step) (observation, error) {
	seen := observation{Name: s.Name, Steps: make([]observation, len(s.Steps))}
	failures := make([]error, len(s.Steps))
	var under sync.WaitGroup
	for index, each := range s.Steps {
		under.Go(func() { seen.Steps[index], failures[index] = d.do(each) })
	}
	under.Wait()
	return seen, errors.Join(failures...)
}

// observed tells how a call ended, with the details as grpc-go's own types read them.
func observed(name string, err error) observation {
	seen := observation{Name: name, Fields: []string{}}
	if err == nil || errors.Is(err, io.EOF) {
		return seen
	}
	told := status.Convert(err)
	seen.Code, seen.Message = int(told.Code()), told.Message()
	if told.Code() != codes.OK && len(told.Proto().GetDetails()) > 0 {
		seen.Details, _ = proto.Marshal(told.Proto())
	}
	for _, detail := range told.Details() {
		switch typed := detail.(type) {
		case *errdetails.ErrorInfo:
			seen.Reason = typed.Reason
		case *errdetails.BadRequest:
			for _, violation := range typed.FieldViolations {
				seen.Fields = append(seen.Fields, violation.Field)
			}
		}
	}
	return seen
}
