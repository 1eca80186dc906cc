// Carries out a plan with @grpc/grpc-js and tells what it saw, one JSON object a line. The words of both are those of
// tools/client_plan.py.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createRequire } from "node:module";
import grpc from "@grpc/grpc-js";
import { service } from "grpc-health-check";

const TIMEOUT_MS = 10_000;
const BEFORE_RESTART_MS = 500;
const AFTER_RESTART_MS = 2_000;
const GZIP = 2;

const asIs = (bytes) => bytes;
const tell = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

function credentialsOf(tls) {
  if (!tls) return grpc.credentials.createInsecure();
  const read = (path) => (path ? readFileSync(path) : null);
  return grpc.credentials.createSsl(read(tls.ca), read(tls.key), read(tls.certificate));
}

// Returns the messages of a file in which each follows its length, four bytes, big-endian.
function readRequests(path) {
  const data = readFileSync(path);
  const requests = [];
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32BE(at);
    requests.push(data.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return requests;
}

function metadataOf(step, waitForReady) {
  const metadata = new grpc.Metadata({ waitForReady });
  for (const [name, value] of Object.entries(step.metadata ?? {})) metadata.set(name, value);
  for (const [name, value] of Object.entries(step.metadata_bin ?? {})) metadata.set(name, Buffer.from(value, "base64"));
  return metadata;
}

const optionsOf = (step) => ({ deadline: Date.now() + (step.timeout_ms || TIMEOUT_MS) });

// Tells how a call ended; grpc-js reads no details, so these are told as they came.
function observed(name, error) {
  if (!error) return { name, code: 0 };
  const details = error.metadata?.get("grpc-status-details-bin")[0];
  return { name, code: error.code, message: error.details, details: details ? details.toString("base64") : "" };
}

class Driver {
  constructor(plan) {
    const credentials = credentialsOf(plan.tls);
    const options = {
      "grpc.enable_http_proxy": 0,
      "grpc.enable_retries": plan.service_config ? 1 : 0,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1_000,
    };
    if (plan.service_config) options["grpc.service_config"] = plan.service_config;
    this.waitForReady = Boolean(plan.service_config);
    this.client = new grpc.Client(plan.target, credentials, options);
    // Compression is a setting of the channel here; the connection is shared all the same.
    this.gzip = new grpc.Client(plan.target, credentials, { ...options, "grpc.default_compression_algorithm": GZIP });
    this.health = new (grpc.makeGenericClientConstructor(service, "Health"))(plan.target, credentials, options);
    this.lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  }

  close() {
    for (const client of [this.client, this.gzip, this.health]) client.close();
  }

  do(step) {
    switch (step.kind) {
      case "unary":
        return this.unary(step);
      case "stream":
        return this.stream(step);
      case "many":
        return this.many(step, () => false);
      case "restart":
        return this.throughRestart(step);
      case "health_check":
        return this.healthCheck(step);
      case "health_watch":
        return this.healthWatch(step);
      case "together":
        return this.together(step);
      default:
        throw new Error(`unknown kind ${step.kind}`);
    }
  }

  call(step, request) {
    const client = step.gzip ? this.gzip : this.client;
    const metadata = metadataOf(step, this.waitForReady);
    return new Promise((resolve) => {
      client.makeUnaryRequest(step.path, asIs, asIs, request, metadata, optionsOf(step), (error, answer) =>
        resolve([error, answer]),
      );
    });
  }

  async unary(step) {
    const [error, answer] = await this.call(step, readFileSync(step.request));
    return { ...observed(step.name, error), messages: error ? [] : [answer.toString("base64")] };
  }

  async stream(step) {
    const request = readFileSync(step.request);
    const metadata = metadataOf(step, this.waitForReady);
    const call = this.client.makeServerStreamRequest(step.path, asIs, asIs, request, metadata, optionsOf(step));
    const messages = [];
    let failure = null;
    try {
      for await (const message of call) {
        messages.push(message.toString("base64"));
        if (messages.length === step.cancel_after) call.cancel();
        if (step.pause_ms) await sleep(step.pause_ms);
      }
    } catch (error) {
      failure = error;
    }
    return { ...observed(step.name, failure), messages };
  }

  // Makes calls with the requests in turn, some at a time, until it is told to stop or has made them all.
  async many(step, stop) {
    const requests = readRequests(step.request);
    const messages = new Array(requests.length).fill("");
    const codes = {};
    let message = "";
    let next = 0;
    const work = async () => {
      while (!stop() && !(step.count && next >= step.count)) {
        const index = next++ % requests.length;
        const [error, answer] = await this.call(step, requests[index]);
        const code = error ? error.code : 0;
        codes[code] = (codes[code] ?? 0) + 1;
        if (error) {
          message ||= error.message;
        } else {
          const text = answer.toString("base64");
          if (messages[index] && messages[index] !== text) message = "a request was answered in two ways";
          messages[index] = text;
        }
        if (step.pause_ms) await sleep(step.pause_ms);
      }
    };
    await Promise.all(Array.from({ length: step.concurrency }, work));
    return { name: step.name, codes, message, messages };
  }

  // Makes calls while the server is stopped and another one takes its place.
  async throughRestart(step) {
    let over = false;
    const restart = async () => {
      await sleep(BEFORE_RESTART_MS);
      tell({ ask: "restart" });
      await this.lines.next();
      await sleep(AFTER_RESTART_MS);
      over = true;
    };
    const [seen] = await Promise.all([this.many(step, () => over), restart()]);
    return seen;
  }

  healthCheck(step) {
    return new Promise((resolve) => {
      this.health.check({ service: "" }, metadataOf(step), optionsOf(step), (error, answer) =>
        resolve({ ...observed(step.name, error), health: error ? [] : [answer.status] }),
      );
    });
  }

  async healthWatch(step) {
    const call = this.health.watch({ service: "" }, metadataOf(step), optionsOf(step));
    const health = [];
    let failure = null;
    try {
      for await (const answer of call) {
        health.push(answer.status);
        if (health.length === step.cancel_after) call.cancel();
      }
    } catch (error) {
      failure = error;
    }
    return { ...observed(step.name, failure), health };
  }

  async together(step) {
    return { name: step.name, steps: await Promise.all(step.steps.map((each) => this.do(each))) };
  }
}

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { version } = createRequire(import.meta.url)("@grpc/grpc-js/package.json");
tell({ version: `grpc-js ${version}, node ${process.version}` });
const driver = new Driver(plan);
for (const step of plan.steps) tell(await driver.do(step));
driver.close();
process.stdin.destroy();
