package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// serviceConfig says how calls are spread and repeated. Only UNAVAILABLE is repeated: the service was not reached, or it is
// starting or stopping. What is called here may be repeated; see docs/clients.md for what may not.
//
// gRPC before 1.40, as Debian 12 has it, reads retryPolicy only where the environment has GRPC_GO_RETRY=on.
const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [{}],
    "retryPolicy": {
      "maxAttempts": 5,
      "initialBackoff": "0.2s",
      "maxBackoff": "3s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

const maxMessageBytes = 64 * 1024 * 1024

// connect opens a channel; it connects with the first call.
func connect(address string) (*grpc.ClientConn, error) {
	return grpc.Dial(
		address,
		grpc.WithInsecure(),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes),
			grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
	)
}

// within is the context of a call that is to end within so many seconds, its retries and the pauses between them included.
func within(seconds float64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(seconds*float64(time.Second)))
}
