import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.lucene.analysis.standard.StandardAnalyzer;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.TextField;
import org.apache.lucene.monitor.MatchingQueries;
import org.apache.lucene.monitor.Monitor;
import org.apache.lucene.monitor.MonitorQuery;
import org.apache.lucene.monitor.QueryMatch;
import org.apache.lucene.util.QueryBuilder;

/** How fast Lucene's Monitor finds phrases in the lines of a file: PHRASES FILE; prints bytes, matches, seconds. */
public class Percolate {
    public static void main(String[] args) throws Exception {
        StandardAnalyzer analyzer = new StandardAnalyzer();
        QueryBuilder builder = new QueryBuilder(analyzer);
        try (Monitor monitor = new Monitor(analyzer)) {
            List<String> phrases = Files.readAllLines(Path.of(args[0]), StandardCharsets.UTF_8);
            for (int n = 0; n < phrases.size(); n++) {
                var query = builder.createPhraseQuery("message", phrases.get(n));
                if (query != null) monitor.register(new MonitorQuery("q" + n, query));
            }
            List<String> lines = Files.readAllLines(Path.of(args[1]), StandardCharsets.ISO_8859_1);
            long bytes = Files.size(Path.of(args[1]));
            // The first tenth warms the compiler up and is not counted.
            run(monitor, lines.subList(0, lines.size() / 10));
            long begin = System.nanoTime();
            long matches = run(monitor, lines);
            System.out.println(bytes + " " + matches + " " + (System.nanoTime() - begin) / 1e9);
        }
    }

    private static long run(Monitor monitor, List<String> lines) throws Exception {
        long matches = 0;
        for (String line : lines) {
            Document document = new Document();
            document.add(new TextField("message", line, Field.Store.NO));
            MatchingQueries<QueryMatch> found = monitor.match(document, QueryMatch.SIMPLE_MATCHER);
            matches += found.getMatchCount();
        }
        return matches;
    }
}
