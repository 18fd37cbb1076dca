/** The contracts, read from `proto/`, and clients of the services that retry and have a deadline. */
import { fileURLToPath } from "node:url";

import * as grpc from "@grpc/grpc-js";
import * as protoLoader from "@grpc/proto-loader";

import type { ProtoGrpcType as Coordinator } from "./generated/coordinator.js";
import type { ProtoGrpcType as Extraction } from "./generated/extraction.js";
import type { CoordinatorServiceClient } from "./generated/slcolm/coordinator/v1/CoordinatorService.js";
import type { ExtractionServiceClient } from "./generated/slcolm/extraction/v1/ExtractionService.js";

const PROTO = fileURLToPath(new URL("../../../proto", import.meta.url));

/** Every message and service by its full name, `google.rpc.ErrorInfo` for one. */
export const contracts = protoLoader.loadSync(
  ["slcolm/extraction/v1/extraction.proto", "slcolm/coordinator/v1/coordinator.proto", "google/rpc/error_details.proto"],
  // As the generated types have them: see `types` in package.json.
  { longs: Number, enums: String, defaults: true, oneofs: true, includeDirs: [PROTO, `${PROTO}/third_party`] },
);

/**
 * How calls are spread and repeated. Only UNAVAILABLE is: the service was not reached, or it is starting or stopping. What is called
 * here may be repeated; see docs/clients.md for what may not.
 */
const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.2s",
        maxBackoff: "3s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

const OPTIONS: grpc.ChannelOptions = {
  "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
};

export function extractionService(address: string): ExtractionServiceClient {
  const { ExtractionService } = (grpc.loadPackageDefinition(contracts) as unknown as Extraction).slcolm.extraction.v1;
  return new ExtractionService(address, grpc.credentials.createInsecure(), OPTIONS);
}

export function coordinatorService(address: string): CoordinatorServiceClient {
  const { CoordinatorService } = (grpc.loadPackageDefinition(contracts) as unknown as Coordinator).slcolm.coordinator.v1;
  return new CoordinatorService(address, grpc.credentials.createInsecure(), OPTIONS);
}

/** The options of a call that is to end within so many seconds, its retries and the pauses between them included. */
export function within(seconds: number): grpc.CallOptions {
  return { deadline: Date.now() + seconds * 1000 };
}
