package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// A failure is what a service says of one: the details of google.rpc.Status, unpacked.
type failure struct {
	code    string // Name of the gRPC status code.
	message string
	reason  string // What happened, for programs; empty where the transport failed.
	domain  string
	// What is wrong with which field.
	violations []*errdetails.BadRequest_FieldViolation
	// When the service wants to be asked again; nil where it does not say.
	retryAfter *time.Duration
}

// failureOf reads the failure of a call, a text or a run. Of a call the details stand in the trailer
// grpc-status-details-bin, which gRPC has read already.
func failureOf(s *status.Status) failure {
	f := failure{code: codeNames[s.Code()], message: s.Message()}
	if f.code == "" {
		f.code = s.Code().String()
	}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			f.reason, f.domain = d.Reason, d.Domain
		case *errdetails.BadRequest:
			f.violations = d.FieldViolations
		case *errdetails.RetryInfo:
			after := time.Duration(d.RetryDelay.GetSeconds())*time.Second + time.Duration(d.RetryDelay.GetNanos())
			f.retryAfter = &after
		}
	}
	return f
}

// String is the failure in lines, for people.
func (f failure) String() string {
	lines := []string{f.code + ": " + f.message}
	if f.reason != "" {
		lines = append(lines, fmt.Sprintf("  reason: %s (%s)", f.reason, f.domain))
	}
	for _, v := range f.violations {
		lines = append(lines, fmt.Sprintf("  field %s: %s", v.Field, v.Description))
	}
	if f.retryAfter != nil {
		lines = append(lines, fmt.Sprintf("  retry after %v s", f.retryAfter.Seconds()))
	}
	return strings.Join(lines, "\n")
}
