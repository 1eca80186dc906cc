package clients;

import com.google.gson.Gson;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.internal.GrpcUtil;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContextBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;

/** Carries out a plan with grpc-java and tells what it saw, one JSON object a line. */
public final class Main {
  private static final int BEFORE_RESTART_MS = 500;
  private static final int AFTER_RESTART_MS = 2_000;
  private static final Gson GSON = new Gson();

  private final ManagedChannel channel;
  private final BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
  private final PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  private final ExecutorService threads = Executors.newCachedThreadPool();

  public static void main(String[] arguments) throws Exception {
    Plan plan = GSON.fromJson(Files.readString(Path.of(arguments[0])), Plan.class);
    Main main = new Main(channelOf(plan));
    try {
      String version = GrpcUtil.getGrpcBuildVersion().getImplementationVersion();
      main.tell(Map.of("version", "grpc-java " + version + ", java " + System.getProperty("java.version")));
      for (Plan.Step step : plan.steps) {
        main.tell(main.perform(step));
      }
    } finally {
      main.channel.shutdownNow().awaitTermination(1, TimeUnit.SECONDS);
      main.threads.shutdownNow();
    }
  }

  private Main(ManagedChannel channel) {
    this.channel = channel;
  }

  private static ManagedChannel channelOf(Plan plan) throws IOException {
    NettyChannelBuilder builder = NettyChannelBuilder.forTarget(plan.target).proxyDetector(address -> null);
    if (plan.tls == null) {
      builder.usePlaintext();
    } else {
      SslContextBuilder context = GrpcSslContexts.forClient().trustManager(new File(plan.tls.ca));
      if (plan.tls.certificate != null) {
        context.keyManager(new File(plan.tls.certificate), new File(plan.tls.key));
      }
      builder.sslContext(context.build());
    }
    if (plan.service_config == null) {
      builder.disableRetry();
    } else {
      @SuppressWarnings("unchecked")
      Map<String, Object> config = GSON.fromJson(plan.service_config, Map.class);
      builder.defaultServiceConfig(config).enableRetry();
    }
    return builder.build();
  }

  private synchronized void tell(Object object) {
    output.println(GSON.toJson(object));
  }

  private Plan.Observation perform(Plan.Step step) throws Exception {
    return switch (step.kind) {
      case "unary" -> unary(step);
      case "stream" -> stream(step);
      case "many" -> many(step, () -> false);
      case "restart" -> throughRestart(step);
      case "health_check" -> healthCheck(step);
      case "health_watch" -> healthWatch(step);
      case "together" -> together(step);
      default -> throw new IllegalArgumentException("unknown kind " + step.kind);
    };
  }

  /** Carries messages as the bytes that they are. */
  private static final MethodDescriptor.Marshaller<byte[]> RAW =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] message) {
          return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException failure) {
            throw new UncheckedIOException(failure);
          }
        }
      };

  private ClientCall<byte[], byte[]> begin(Plan.Step step, MethodDescriptor.MethodType type) {
    MethodDescriptor<byte[], byte[]> method =
        MethodDescriptor.newBuilder(RAW, RAW).setType(type).setFullMethodName(step.path.substring(1)).build();
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(step.timeoutMs(), TimeUnit.MILLISECONDS);
    if (step.gzip) {
      options = options.withCompression("gzip");
    }
    return MetadataUtils.newAttachHeadersInterceptor(metadataOf(step)).interceptCall(method, options, channel);
  }

  private static Metadata metadataOf(Plan.Step step) {
    Metadata metadata = new Metadata();
    step.metadata.forEach(
        (name, value) -> metadata.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value));
    step.metadata_bin.forEach(
        (name, value) ->
            metadata.put(
                Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER), Base64.getDecoder().decode(value)));
    return metadata;
  }

  private byte[] call(Plan.Step step, byte[] request) {
    return ClientCalls.blockingUnaryCall(begin(step, MethodDescriptor.MethodType.UNARY), request);
  }

  private Plan.Observation unary(Plan.Step step) throws IOException {
    Plan.Observation seen = new Plan.Observation(step.name);
    try {
      seen.messages.add(Base64.getEncoder().encodeToString(call(step, step.readRequest())));
    } catch (StatusRuntimeException failure) {
      observe(seen, failure);
    }
    return seen;
  }

  private Plan.Observation stream(Plan.Step step) throws Exception {
    Plan.Observation seen = new Plan.Observation(step.name);
    ClientCall<byte[], byte[]> call = begin(step, MethodDescriptor.MethodType.SERVER_STREAMING);
    try {
      // The blocking iterator asks for the next message when the one before was taken: a slow reader is a slow reader.
      Iterator<byte[]> messages = ClientCalls.blockingServerStreamingCall(call, step.readRequest());
      while (messages.hasNext()) {
        seen.messages.add(Base64.getEncoder().encodeToString(messages.next()));
        if (seen.messages.size() == step.cancel_after) {
          call.cancel("read enough", null);
        }
        Thread.sleep(step.pause_ms);
      }
    } catch (StatusRuntimeException failure) {
      observe(seen, failure);
    }
    return seen;
  }

  /** Makes calls with the requests in turn, some at a time, until it is told to stop or has made them all. */
  private Plan.Observation many(Plan.Step step, BooleanSupplier stop) throws Exception {
    List<byte[]> requests = step.readRequests();
    Plan.Observation seen = new Plan.Observation(step.name);
    seen.codes = new TreeMap<>();
    seen.messages = new ArrayList<>(Collections.nCopies(requests.size(), ""));
    AtomicInteger next = new AtomicInteger();
    Callable<Void> work =
        () -> {
          while (!stop.getAsBoolean()) {
            int number = next.getAndIncrement();
            if (step.count > 0 && number >= step.count) {
              break;
            }
            int index = number % requests.size();
            String answer = null;
            Status status = Status.OK;
            try {
              answer = Base64.getEncoder().encodeToString(call(step, requests.get(index)));
            } catch (StatusRuntimeException failure) {
              status = failure.getStatus();
            }
            synchronized (seen) {
              count(seen, index, status, answer);
            }
            Thread.sleep(step.pause_ms);
          }
          return null;
        };
    for (Future<Void> done : threads.invokeAll(Collections.nCopies(step.concurrency, work))) {
      done.get();
    }
    return seen;
  }

  private static void count(Plan.Observation seen, int index, Status status, String answer) {
    seen.codes.merge(Integer.toString(status.getCode().value()), 1, Integer::sum);
    if (answer == null) {
      seen.message = seen.message.isEmpty() ? status.toString() : seen.message;
      return;
    }
    String before = seen.messages.set(index, answer);
    if (!before.isEmpty() && !before.equals(answer)) {
      seen.message = "a request was answered in two ways";
    }
  }

  /** Makes calls while the server is stopped and another one takes its place. */
  private Plan.Observation throughRestart(Plan.Step step) throws Exception {
    AtomicBoolean over = new AtomicBoolean();
    Future<Void> restart =
        threads.submit(
            () -> {
              Thread.sleep(BEFORE_RESTART_MS);
              tell(Map.of("ask", "restart"));
              input.readLine();
              Thread.sleep(AFTER_RESTART_MS);
              over.set(true);
              return null;
            });
    Plan.Observation seen = many(step, over::get);
    restart.get();
    return seen;
  }

  private Plan.Observation healthCheck(Plan.Step step) {
    Plan.Observation seen = new Plan.Observation(step.name);
    try {
      HealthCheckResponse answer =
          HealthGrpc.newBlockingStub(channel)
              .withDeadlineAfter(step.timeoutMs(), TimeUnit.MILLISECONDS)
              .check(HealthCheckRequest.getDefaultInstance());
      seen.health.add(answer.getStatus().name());
    } catch (StatusRuntimeException failure) {
      observe(seen, failure);
    }
    return seen;
  }

  private Plan.Observation healthWatch(Plan.Step step) {
    Plan.Observation seen = new Plan.Observation(step.name);
    ClientCall<HealthCheckRequest, HealthCheckResponse> call =
        channel.newCall(
            HealthGrpc.getWatchMethod(),
            CallOptions.DEFAULT.withDeadlineAfter(step.timeoutMs(), TimeUnit.MILLISECONDS));
    try {
      Iterator<HealthCheckResponse> answers =
          ClientCalls.blockingServerStreamingCall(call, HealthCheckRequest.getDefaultInstance());
      while (answers.hasNext()) {
        seen.health.add(answers.next().getStatus().name());
        if (seen.health.size() == step.cancel_after) {
          call.cancel("seen enough", null);
        }
      }
    } catch (StatusRuntimeException failure) {
      observe(seen, failure);
    }
    return seen;
  }

  private Plan.Observation together(Plan.Step step) throws Exception {
    Plan.Observation seen = new Plan.Observation(step.name);
    seen.steps = new ArrayList<>();
    List<Future<Plan.Observation>> under = new ArrayList<>();
    for (Plan.Step each : step.steps) {
      under.add(threads.submit(() -> perform(each)));
    }
    for (Future<Plan.Observation> each : under) {
      seen.steps.add(each.get());
    }
    return seen;
  }

  /** Tells how a call failed, with the details as grpc-java's own types read them. */
  private static void observe(Plan.Observation seen, StatusRuntimeException failure) {
    Status status = failure.getStatus();
    seen.code = status.getCode().value();
    seen.message = status.getDescription() == null ? "" : status.getDescription();
    if (status.getCause() != null) {
      seen.message += ": " + status.getCause().getMessage();
    }
    com.google.rpc.Status told = StatusProto.fromThrowable(failure);
    if (told == null || told.getDetailsCount() == 0) {
      return;
    }
    seen.details = Base64.getEncoder().encodeToString(told.toByteArray());
    try {
      for (Any detail : told.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          seen.reason = detail.unpack(ErrorInfo.class).getReason();
        } else if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList().forEach(each -> seen.fields.add(each.getField()));
        }
      }
    } catch (InvalidProtocolBufferException broken) {
      seen.message = "details that cannot be read: " + broken.getMessage();
    }
  }
}
