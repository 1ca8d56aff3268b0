import java.time.Instant
import java.time.temporal.ChronoUnit

/** The build's log: one file and standard output, secrets masked, lines stamped if asked for and named for their branch. */
class BuildLog implements Closeable {
    /** The branch of a `parallel` that the thread, or the one that started it, runs. */
    static final InheritableThreadLocal<String> BRANCH = new InheritableThreadLocal<>()

    boolean stamps = false
    private final PrintWriter file
    private List<String> secrets = []

    BuildLog(File log) { file = new PrintWriter(new OutputStreamWriter(new FileOutputStream(log), 'UTF-8'), true) }

    /** From now on `value`, its single lines and its usual encodings never appear. */
    synchronized void mask(String value) {
        def lines = value.readLines().findAll { it.length() > 7 }
        def forms = [value, *lines, URLEncoder.encode(value, 'UTF-8'), value.bytes.encodeBase64().toString()]
        secrets = (secrets + forms.findAll { it.trim() }).unique().sort { -it.length() }
    }

    synchronized String masked(String text) { secrets.inject(text) { line, secret -> line.replace(secret, '****') } }

    synchronized void line(String text) {
        def stamp = stamps ? "[${Instant.now().truncatedTo(ChronoUnit.MILLIS)}] " : ''
        def branch = BRANCH.get() ? "[${BRANCH.get()}] " : ''
        def out = stamp + branch + masked(text)
        file.println(out)
        System.out.println(out)
        System.out.flush()
    }

    void close() { file.close() }
}
