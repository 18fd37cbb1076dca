#!/usr/bin/env node
/** Extracts, predicts and watches a run: `node dist/main.js --help`. */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

import { status, type ServiceError } from "@grpc/grpc-js";

import * as failures from "./failures.js";
import type { Document__Output } from "./generated/slcolm/common/v1/Document.js";
import type { ExtractResponse__Output } from "./generated/slcolm/extraction/v1/ExtractResponse.js";
import type { PredictResponse__Output } from "./generated/slcolm/coordinator/v1/PredictResponse.js";
import type { Run__Output } from "./generated/slcolm/coordinator/v1/Run.js";
import type { Status__Output } from "./generated/google/rpc/Status.js";
import { utf16Offsets } from "./offsets.js";
import { coordinatorService, extractionService, within } from "./services.js";

const USAGE = `Usage:
  main.js [--address HOST:PORT] [--timeout SECONDS] extract TEXT...
  main.js [--address HOST:PORT] [--timeout SECONDS] predict RUN TEXT...
  main.js [--address HOST:PORT] [--timeout SECONDS] watch RUN

extract asks an extraction service (127.0.0.1:50051), predict and watch a coordinator (127.0.0.1:50050).
A call may take 60 s, and watching a day, unless --timeout says otherwise.`;

const DAY_SECONDS = 24 * 60 * 60;
/** A stream that breaks is opened again; so often in a row without a word from the service is enough. */
const MOST_BREAKS = 5;

type Command = (address: string | undefined, timeout: number | undefined, words: string[]) => Promise<boolean>;

const commands: Record<string, { least: number; most: number; run: Command }> = {
  extract: { least: 1, most: Infinity, run: extract },
  predict: { least: 2, most: Infinity, run: predict },
  watch: { least: 1, most: 1, run: watch },
};

async function extract(address = "127.0.0.1:50051", timeout = 60, texts: string[]): Promise<boolean> {
  const client = extractionService(address);
  const response = await new Promise<ExtractResponse__Output>((resolve, reject) => {
    client.extract({ documents: named(texts) }, within(timeout), (error, answer) => (answer ? resolve(answer) : reject(error)));
  });
  for (const { id, extraction, error } of response.results) {
    if (error) {
      printError(id, error);
    } else if (extraction?.document) {
      printDocument(extraction.document);
    }
  }
  client.close();
  return response.results.every(({ error }) => !error);
}

async function predict(address = "127.0.0.1:50050", timeout = 60, [runId, ...texts]: string[]): Promise<boolean> {
  const client = coordinatorService(address);
  const response = await new Promise<PredictResponse__Output>((resolve, reject) => {
    client.predict({ runId, documents: named(texts) }, within(timeout), (error, answer) => (answer ? resolve(answer) : reject(error)));
  });
  for (const { id, prediction, error } of response.results) {
    if (error) {
      printError(id, error);
    } else if (prediction) {
      if (prediction.document) {
        printEntities(prediction.document);
      }
      for (const { triple, sources } of prediction.triples) {
        print("triple", id, triple?.type, triple?.head, triple?.tail, sources.join("+"));
      }
      if (prediction.guidanceError) {
        print("unguided", id, failures.ofStatus(prediction.guidanceError).code);
      }
    }
  }
  client.close();
  return response.results.every(({ error }) => !error);
}

/** Follows a run to its end, through broken connections: a new stream begins with the present state. */
async function watch(address = "127.0.0.1:50050", timeout = DAY_SECONDS, [runId]: string[]): Promise<boolean> {
  const client = coordinatorService(address);
  const options = within(timeout);
  let last: Run__Output | null = null;
  let printed = "";
  for (let breaks = 0; ; breaks++) {
    try {
      for await (const { run } of client.watchRun({ runId }, options)) {
        breaks = 0;
        last = run;
        const line = progress(run);
        if (line !== printed) {
          console.log(line);
          printed = line;
        }
      }
      break;
    } catch (error) {
      if ((error as ServiceError).code !== status.UNAVAILABLE || breaks >= MOST_BREAKS) {
        throw error;
      }
      await pause(1000);
    }
  }
  client.close();
  if (last?.error) {
    console.error(failures.lines(failures.ofStatus(last.error)).join("\n"));
  }
  return last?.state === "RUN_STATE_SUCCEEDED";
}

/** The state of a run in a line, and how far its latest stage is. */
function progress(run: Run__Output): string {
  const state = run.state.replace("RUN_STATE_", "");
  const stage = run.stages.filter(({ state }) => state !== "RUN_STATE_QUEUED").at(-1);
  return ["run", state, ...(stage ? [stage.name, `${stage.done}/${stage.total}`] : [])].join("\t");
}

function printDocument(document: Document__Output): void {
  printEntities(document);
  const { entities, relations } = document;
  for (const { type, head, tail } of relations) {
    print("relation", document.id, type, entities[head]?.text, entities[tail]?.text);
  }
}

/** Entities with their offsets in code points and in UTF-16 units, and what stands there. */
function printEntities({ id, text, entities }: Document__Output): void {
  const at = utf16Offsets(text);
  for (const { type, start, end } of entities) {
    print("entity", id, type, start, end, at[start], at[end], text.slice(at[start], at[end]));
  }
}

function printError(id: string, error: Status__Output): void {
  const { code, reason, message } = failures.ofStatus(error);
  print("error", id, code, reason, message);
}

function print(...fields: (string | number | undefined)[]): void {
  console.log(fields.join("\t"));
}

function named(texts: string[]): { id: string; text: string }[] {
  return texts.map((text, index) => ({ id: String(index), text }));
}

async function main(): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: { address: { type: "string" }, timeout: { type: "string" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  const { address, timeout, help } = parsed.values;
  const [name = "", ...words] = parsed.positionals;
  if (help) {
    console.log(USAGE);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  const seconds = timeout === undefined ? undefined : Number(timeout);
  if (!command || words.length < command.least || words.length > command.most || !((seconds ?? 1) > 0)) {
    console.error(USAGE);
    return 2;
  }
  try {
    return (await command.run(address, seconds, words)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && "metadata" in error)) {
      throw error;
    }
    console.error(failures.lines(failures.ofCall(error as ServiceError)).join("\n"));
    return 1;
  }
}

process.exitCode = await main();
