import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import kafka.tools.StorageTool;

/** Formats a fresh folder, runs Kafka's own main, and ends at once when nobody holds its standard input any more. */
public final class Broker {
  public static void main(String[] args) {
    Thread watch = new Thread(Broker::endWithOurStarter, "starter-watch");
    watch.setDaemon(true);
    watch.start();
    String properties = args[0];
    List<String> format = new ArrayList<>(List.of("format", "--ignore-formatted", "-c", properties));
    format.addAll(List.of(args).subList(1, args.length));
    int code = StorageTool.execute(format.toArray(new String[0]), System.out);
    if (code != 0) System.exit(code);
    kafka.Kafka.main(new String[] {properties});
  }

  private static void endWithOurStarter() {
    try {
      while (System.in.read() >= 0) continue;
    } catch (IOException gone) {
      // As at the end of the stream.
    }
    Runtime.getRuntime().halt(0);
  }
}
