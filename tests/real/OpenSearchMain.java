// Starts one real OpenSearch node in this JVM, on 127.0.0.1 only.
// Usage: java -cp 'lib/*' OpenSearchMain BASE_DIR CLUSTER HTTP_PORT TRANSPORT_PORT [NODE SEEDS]
//   NODE   its name (default node-1); SEEDS  transport ports of all nodes, with "," between
// System properties: moduleTypes, pluginTypes (classes to load in place of the runner's own list).
//
// The runner has a command line of its own, but that one counts ports upwards
// silently when one is busy and binds ::1 too; a recording needs one known node, and
// a node that can be killed needs a process of its own.
import java.util.ArrayList;
import java.util.List;
import org.codelibs.opensearch.runner.OpenSearchRunner;

public class OpenSearchMain {
    public static void main(String[] a) throws Exception {
        int http = Integer.parseInt(a[2]);
        int transport = Integer.parseInt(a[3]);
        String node = a.length > 4 ? a[4] : "node-1";
        List<String> seeds = new ArrayList<>();
        for (String port : (a.length > 5 ? a[5] : a[3]).split(",")) {
            seeds.add("127.0.0.1:" + port);
        }
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.setMaxHttpPort(65535); // the runner's own limit is 9299
        runner.onBuild((id, s) -> {
            s.put("node.name", node);
            s.put("network.host", "127.0.0.1");
            s.put("http.port", http);
            s.put("transport.port", transport);
            s.put("discovery.type", "zen"); // newer runners preset single-node
            s.putList("discovery.seed_hosts", seeds);
            s.putList("cluster.initial_cluster_manager_nodes", "node-1"); // it bootstraps, others join
            // A nearly full disk must not turn the index read-only.
            s.put("cluster.routing.allocation.disk.threshold_enabled", false);
            s.putList("node.roles", "cluster_manager", "data", "ingest");
        });
        // SIGTERM: close the node before the JVM halts.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
        List<String> args = new ArrayList<>(List.of("-basePath", a[0], "-clusterName", a[1],
            "-numOfNode", "1", "-baseHttpPort", String.valueOf(http - 1)));
        for (String kind : List.of("moduleTypes", "pluginTypes")) {
            String classes = System.getProperty(kind);
            if (classes != null) {
                args.addAll(List.of("-" + kind, classes));
            }
        }
        runner.build(args.toArray(new String[0]));
        Thread.currentThread().join();
    }
}
