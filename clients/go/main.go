// Slcolm-client extracts, predicts and watches a run: slcolm-client --help.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"slcolm/contracts/common"
	"slcolm/contracts/coordinator"
	"slcolm/contracts/extraction"
)

const usage = `Usage:
  slcolm-client [--address HOST:PORT] [--timeout SECONDS] extract TEXT...
  slcolm-client [--address HOST:PORT] [--timeout SECONDS] predict RUN TEXT...
  slcolm-client [--address HOST:PORT] [--timeout SECONDS] watch RUN

extract asks an extraction service (127.0.0.1:50051), predict and watch a coordinator (127.0.0.1:50050).
A call may take 60 s, and watching a day, unless --timeout says otherwise.
`

const (
	callSeconds = 60
	daySeconds  = 24 * 60 * 60
	// A stream that breaks is opened again; so often in a row without a word from the service is enough.
	mostBreaks = 5
)

func extract(address string, seconds float64, texts []string) (ok bool, err error) {
	channel, err := connect(address)
	if err != nil {
		return false, err
	}
	defer channel.Close()
	ctx, cancel := within(seconds)
	defer cancel()
	request := &extraction.ExtractRequest{Documents: named(texts)}
	response, err := extraction.NewExtractionServiceClient(channel).Extract(ctx, request)
	if err != nil {
		return false, err
	}
	ok = true
	for _, result := range response.Results {
		if failed := result.GetError(); failed != nil {
			printError(result.Id, failed)
			ok = false
			continue
		}
		document := result.GetExtraction().GetDocument()
		printEntities(document)
		for _, relation := range document.GetRelations() {
			head, tail := document.Entities[relation.Head], document.Entities[relation.Tail]
			printLine("relation", document.Id, relation.Type, head.Text, tail.Text)
		}
	}
	return ok, nil
}

func predict(address string, seconds float64, words []string) (ok bool, err error) {
	channel, err := connect(address)
	if err != nil {
		return false, err
	}
	defer channel.Close()
	ctx, cancel := within(seconds)
	defer cancel()
	request := &coordinator.PredictRequest{RunId: words[0], Documents: named(words[1:])}
	response, err := coordinator.NewCoordinatorServiceClient(channel).Predict(ctx, request)
	if err != nil {
		return false, err
	}
	ok = true
	for _, result := range response.Results {
		if failed := result.GetError(); failed != nil {
			printError(result.Id, failed)
			ok = false
			continue
		}
		prediction := result.GetPrediction()
		printEntities(prediction.GetDocument())
		for _, found := range prediction.GetTriples() {
			triple := found.GetTriple()
			printLine("triple", result.Id, triple.GetType(), triple.GetHead(), triple.GetTail(), strings.Join(found.Sources, "+"))
		}
		if missing := prediction.GetGuidanceError(); missing != nil {
			printLine("unguided", result.Id, failureOf(status.FromProto(missing)).code)
		}
	}
	return ok, nil
}

// watch follows a run to its end, through broken connections: a new stream begins with the present state.
func watch(address string, seconds float64, words []string) (ok bool, err error) {
	channel, err := connect(address)
	if err != nil {
		return false, err
	}
	defer channel.Close()
	ctx, cancel := within(seconds)
	defer cancel()
	client := coordinator.NewCoordinatorServiceClient(channel)
	request := &coordinator.WatchRunRequest{RunId: words[0]}
	var last *coordinator.Run
	printed := ""
	for breaks := 0; ; breaks++ {
		stream, err := client.WatchRun(ctx, request)
		for err == nil {
			var response *coordinator.WatchRunResponse
			if response, err = stream.Recv(); err == nil {
				breaks = 0
				last = response.GetRun()
				if line := progress(last); line != printed {
					fmt.Println(line)
					printed = line
				}
			}
		}
		if err == io.EOF {
			break
		}
		if status.Code(err) != codes.Unavailable || breaks >= mostBreaks {
			return false, err
		}
		time.Sleep(time.Second)
	}
	if failed := last.GetError(); failed != nil {
		fmt.Fprintln(os.Stderr, failureOf(status.FromProto(failed)))
	}
	return last.GetState() == coordinator.RunState_RUN_STATE_SUCCEEDED, nil
}

// progress is the state of a run in a line, and how far its latest stage is.
func progress(run *coordinator.Run) string {
	fields := []string{"run", strings.TrimPrefix(run.GetState().String(), "RUN_STATE_")}
	stages := run.GetStages()
	for i := len(stages) - 1; i >= 0; i-- {
		if stages[i].State != coordinator.RunState_RUN_STATE_QUEUED {
			fields = append(fields, stages[i].Name, fmt.Sprintf("%d/%d", stages[i].Done, stages[i].Total))
			break
		}
	}
	return strings.Join(fields, "\t")
}

// printEntities prints entities with their offsets in code points and in bytes, and what stands there.
func printEntities(document *common.Document) {
	text := document.GetText()
	at := byteOffsets(text)
	for _, entity := range document.GetEntities() {
		start, end := at[entity.Start], at[entity.End]
		numbers := []int{int(entity.Start), int(entity.End), start, end}
		fields := []string{"entity", document.Id, entity.Type}
		for _, number := range numbers {
			fields = append(fields, strconv.Itoa(number))
		}
		printLine(append(fields, text[start:end])...)
	}
}

func printError(id string, failed *rpcstatus.Status) {
	f := failureOf(status.FromProto(failed))
	printLine("error", id, f.code, f.reason, f.message)
}

func printLine(fields ...string) {
	fmt.Println(strings.Join(fields, "\t"))
}

func named(texts []string) []*common.Document {
	documents := make([]*common.Document, len(texts))
	for i, text := range texts {
		documents[i] = &common.Document{Id: strconv.Itoa(i), Text: text}
	}
	return documents
}

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	address := flag.String("address", "", "")
	timeout := flag.Float64("timeout", 0, "")
	flag.Parse()
	commands := map[string]struct {
		run         func(string, float64, []string) (bool, error)
		address     string
		seconds     float64
		least, most int
	}{
		"extract": {extract, "127.0.0.1:50051", callSeconds, 1, 1 << 30},
		"predict": {predict, "127.0.0.1:50050", callSeconds, 2, 1 << 30},
		"watch":   {watch, "127.0.0.1:50050", daySeconds, 1, 1},
	}
	command, known := commands[flag.Arg(0)]
	words := flag.Args()
	if known {
		words = words[1:]
	}
	if !known || len(words) < command.least || len(words) > command.most || *timeout < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *address == "" {
		*address = command.address
	}
	if *timeout == 0 {
		*timeout = command.seconds
	}
	ok, err := command.run(*address, *timeout, words)
	if err != nil {
		fmt.Fprintln(os.Stderr, failureOf(status.Convert(err)))
	}
	if !ok {
		os.Exit(1)
	}
}
