/** What a service says of a failure: `google.rpc.Status` with details, in a trailer or in the result of a text. */
import { status, type ServiceError } from "@grpc/grpc-js";
import type { MessageTypeDefinition } from "@grpc/proto-loader";

import type { BadRequest__Output } from "./generated/google/rpc/BadRequest.js";
import type { ErrorInfo__Output } from "./generated/google/rpc/ErrorInfo.js";
import type { RetryInfo__Output } from "./generated/google/rpc/RetryInfo.js";
import type { Status__Output } from "./generated/google/rpc/Status.js";
import { contracts } from "./services.js";

export interface Failure {
  /** Name of the gRPC status code. */
  code: string;
  message: string;
  /** What happened, for programs; empty where the transport failed. */
  reason: string;
  domain: string;
  /** What is wrong with which field. */
  violations: { field: string; problem: string }[];
  /** When the service wants to be asked again. */
  retryAfterSeconds?: number;
}

/** The failure of a call. */
export function ofCall(error: ServiceError): Failure {
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  const details = trailer instanceof Buffer ? decode<Status__Output>("google.rpc.Status", trailer).details : [];
  return read(error.code, error.details, details);
}

/** The failure of one text of a batch, or of a run. */
export function ofStatus({ code, message, details }: Status__Output): Failure {
  return read(code, message, details);
}

/** A failure in lines, for people. */
export function lines({ code, message, reason, domain, violations, retryAfterSeconds }: Failure): string[] {
  return [
    `${code}: ${message}`,
    ...(reason ? [`  reason: ${reason} (${domain})`] : []),
    ...violations.map(({ field, problem }) => `  field ${field}: ${problem}`),
    ...(retryAfterSeconds === undefined ? [] : [`  retry after ${retryAfterSeconds} s`]),
  ];
}

function read(code: number, message: string, details: Status__Output["details"]): Failure {
  const failure: Failure = { code: status[code] ?? String(code), message, reason: "", domain: "", violations: [] };
  for (const { type_url: url, value } of details) {
    const name = url.slice(url.lastIndexOf("/") + 1);
    if (name === "google.rpc.ErrorInfo") {
      ({ reason: failure.reason, domain: failure.domain } = decode<ErrorInfo__Output>(name, value));
    } else if (name === "google.rpc.BadRequest") {
      const { fieldViolations } = decode<BadRequest__Output>(name, value);
      failure.violations = fieldViolations.map(({ field, description }) => ({ field, problem: description }));
    } else if (name === "google.rpc.RetryInfo") {
      const { retryDelay } = decode<RetryInfo__Output>(name, value);
      failure.retryAfterSeconds = retryDelay ? retryDelay.seconds + retryDelay.nanos / 1e9 : 0;
    }
  }
  return failure;
}

function decode<Message>(name: string, bytes: Buffer | Uint8Array | string): Message {
  const type = contracts[name] as MessageTypeDefinition<object, object>;
  return type.deserialize(Buffer.from(bytes as Uint8Array)) as Message;
}
