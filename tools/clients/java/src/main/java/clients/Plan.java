package clients;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What to do, and what is told of it; the words are those of tools/client_plan.py. Gson fills the fields. */
final class Plan {
  String target;
  Tls tls;
  String service_config;
  List<Step> steps;

  static final class Tls {
    String ca;
    String certificate;
    String key;
  }

  static final class Step {
    static final int TIMEOUT_MS = 10_000;

    String name;
    String kind;
    String path;
    String request;
    int timeout_ms;
    Map<String, String> metadata = Map.of();
    Map<String, String> metadata_bin = Map.of();
    boolean gzip;
    int pause_ms;
    int cancel_after;
    int count;
    int concurrency;
    List<Step> steps;

    int timeoutMs() {
      return timeout_ms == 0 ? TIMEOUT_MS : timeout_ms;
    }

    byte[] readRequest() throws IOException {
      return Files.readAllBytes(Path.of(request));
    }

    /** Returns the messages of a file in which each follows its length, four bytes, big-endian. */
    List<byte[]> readRequests() throws IOException {
      ByteBuffer data = ByteBuffer.wrap(Files.readAllBytes(Path.of(request)));
      List<byte[]> requests = new ArrayList<>();
      while (data.hasRemaining()) {
        byte[] message = new byte[data.getInt()];
        data.get(message);
        requests.add(message);
      }
      return requests;
    }
  }

  static final class Observation {
    String name;
    int code;
    String message = "";
    String details = "";
    String reason = "";
    List<String> fields = new ArrayList<>();
    List<String> messages = new ArrayList<>();
    List<String> health = new ArrayList<>();
    Map<String, Integer> codes;
    List<Observation> steps;

    Observation(String name) {
      this.name = name;
    }
  }
}
