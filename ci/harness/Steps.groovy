import java.nio.file.Files
import java.nio.file.StandardCopyOption
import java.util.concurrent.ConcurrentSkipListMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicBoolean

/** The pipeline has failed, or was stopped, at a step; `status` is what the build becomes. */
class StepFailed extends RuntimeException {
    final String status
    StepFailed(String message, String status = 'FAILURE') { super(message); this.status = status }
}

/** What a Jenkinsfile reads and sets under the name `currentBuild`. */
class CurrentBuild {
    int number
    String result
    String description
    String getCurrentResult() { result ?: 'SUCCESS' }
}

/** What a Jenkinsfile reads and sets under the name `env`. */
class Environment extends GroovyObjectSupport {
    private final Steps steps
    Environment(Steps steps) { this.steps = steps }
    Object getProperty(String name) { this.@steps.environment()[name] }
    void setProperty(String name, Object value) { this.@steps.setVariable(name, value.toString()) }
}

/** The steps, executed for real in the build's workspace; the delegate of every `steps` block. */
class Steps extends GroovyObjectSupport {
    static final long GRACE_MS = 3000
    final Map build
    final BuildLog console
    final CurrentBuild currentBuild
    private final Map<String, String> base
    private final Credentials credentials
    private final LinkedList<Map<String, String>> overlays = new LinkedList<>()
    private final LinkedList<Map> deadlines = new LinkedList<>()
    private File folder
    private volatile Process running
    private final List<Steps> branches = new CopyOnWriteArrayList<>()
    volatile boolean stopped = false
    private final AtomicBoolean asked = new AtomicBoolean()

    Steps(Map build, BuildLog console, Credentials credentials) {
        this.build = build
        this.console = console
        this.credentials = credentials
        folder = build.workspace
        currentBuild = new CurrentBuild(number: build.number)
        base = new ConcurrentSkipListMap<>(System.getenv() + [
            WORKSPACE: build.workspace.path, BUILD_NUMBER: build.number as String, BRANCH_NAME: build.branch,
            JOB_NAME: build.job, CI: 'true'])
    }

    private Steps(Steps parent) {
        build = parent.build
        console = parent.console
        credentials = parent.@credentials
        currentBuild = parent.currentBuild
        base = parent.@base
        folder = parent.@folder
        overlays.addAll(parent.@overlays)
        deadlines.addAll(parent.@deadlines)
        stopped = parent.stopped
    }

    /** The same build for a thread of its own: what surrounds it holds for it too, what it opens is its own. */
    Steps branch() {
        def branch = new Steps(this)
        branches << branch
        branch
    }

    Map getScm() { [repo: build.repo, commit: build.commit] }

    Environment getEnv() { new Environment(this) }

    /** A bare upper-case name is an environment variable, as in Jenkins. */
    def propertyMissing(String name) {
        def all = environment()
        if (name in all) return all[name]
        throw new StepFailed("no such variable: $name")
    }

    def methodMissing(String name, args) { throw new StepFailed("step $name is not known") }

    /** Run a block of steps with this object as its only delegate. */
    def run(Closure block) {
        block.delegate = this
        block.resolveStrategy = Closure.DELEGATE_ONLY
        block.call()
    }

    Map<String, String> environment() { overlays.inject(new TreeMap<>(base)) { all, more -> all + more } }

    void setVariable(String name, String value) { base[name] = value }

    void within(Map<String, String> variables, Closure body) {
        overlays << variables
        try { body() } finally { overlays.removeLast() }
    }

    // Steps

    def sh(String script) { sh(script: script) }

    def sh(Map args) {
        start(args.label ?: 'sh')
        def file = new File(build.temporary as File, "script-${System.nanoTime()}.sh")
        file.text = args.script
        file.setExecutable(true)
        def command = args.script.startsWith('#!') ? [file.path] : ['sh', '-xe', file.path]
        def output = new StringBuffer()
        def code = execute(command, args.returnStdout ? output : null)
        file.delete()
        if (args.returnStatus) return code
        if (code) throw new StepFailed("script returned exit code $code")
        args.returnStdout ? output.toString() : null
    }

    /** Run a process in the current folder, its output to the log as it comes, or standard output to `output`. */
    private int execute(List<String> command, StringBuffer output = null) {
        def builder = new ProcessBuilder(command).directory(folder)
        builder.redirectErrorStream(output == null).redirectInput(new File('/dev/null'))
        builder.environment().with { clear(); putAll(environment()) }
        def process = builder.start()
        running = process
        def readers = [reader(process.inputStream) { output == null ? console.line(it) : output.append(it).append('\n') }]
        if (output != null) readers << reader(process.errorStream) { console.line(it) }
        def code = await(process)
        readers*.join(GRACE_MS)
        code
    }

    void echo(String message) { start('echo'); console.line(message) }

    void echo(Map args) { echo(args.message as String) }

    void error(String message) { start('error'); throw new StepFailed(message) }

    void error(Map args) { error(args.message as String) }

    void checkout(Map args) {
        start('checkout')
        def source = args.scm ?: args
        if (folder.list()) throw new StepFailed("checkout: ${folder.path} is not empty")
        [['clone', '--quiet', '--no-checkout', source.repo, '.'], ['checkout', '--quiet', '--detach', source.commit],
         ['log', '-1', '--format=checked out %H %s']].each { List<String> args_ ->
            if (execute(['git'] + args_)) throw new StepFailed("checkout: git ${args_[0]} failed")
        }
    }

    void archiveArtifacts(String artifacts) { archiveArtifacts(artifacts: artifacts) }

    void archiveArtifacts(Map args) {
        start('archiveArtifacts')
        def root = build.workspace.toPath()
        def patterns = args.artifacts.split(',').collect { Glob.regex(it.trim()) }
        def found = []
        build.workspace.eachFileRecurse(groovy.io.FileType.FILES) {
            def name = root.relativize(it.toPath()).toString()
            if (!Files.isSymbolicLink(it.toPath()) && patterns.any { p -> name ==~ p }) found << name
        }
        if (!found && !args.allowEmptyArchive) {
            throw new StepFailed("archiveArtifacts: no file matches ${args.artifacts}")
        }
        found.sort().each {
            def target = new File(build.archive as File, it)
            target.parentFile.mkdirs()
            Files.copy(root.resolve(it), target.toPath(), StandardCopyOption.REPLACE_EXISTING)
        }
        console.line("archived ${found.size()} file(s)${found ? ': ' + found.join(', ') : ''}")
    }

    void cleanWs() {
        start('cleanWs')
        build.workspace.listFiles().each { it.directory && !Files.isSymbolicLink(it.toPath()) ? it.deleteDir() : it.delete() }
    }

    void withCredentials(List<Map> bindings, Closure body) {
        start('withCredentials')
        credentials.bind(bindings, console) { Map variables -> within(variables) { run(body) } }
    }

    Map usernamePassword(Map args) { args + [kind: 'usernamePassword'] }

    Map string(Map args) { args + [kind: 'string'] }

    Map file(Map args) { args + [kind: 'file'] }

    void withEnv(List overrides, Closure body) {
        start('withEnv')
        within(overrides.collectEntries { it.toString().split('=', 2) as List }) { run(body) }
    }

    void dir(String path, Closure body) {
        start('dir')
        def before = folder
        folder = new File(before, path)
        folder.mkdirs()
        try { run(body) } finally { folder = before }
    }

    def script(Closure body) { run(body) }

    void timeout(Map args, Closure body) {
        start('timeout')
        limited(args) { run(body) }
    }

    void timeout(int time, Closure body) { timeout([time: time], body) }

    // Time

    void limited(Map args, Closure body) {
        def seconds = (args.time as long) * Grammar.SECONDS[args.unit ?: 'MINUTES']
        deadlines << [at: System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds), seconds: seconds]
        try { body() } finally { deadlines.removeLast() }
    }

    private void start(String step) {
        if (stopped) throw new StepFailed("stopped before $step", 'ABORTED')
        def over = deadlines.find { it.at <= System.nanoTime() }
        if (over) throw new StepFailed("timeout of ${over.seconds} s exceeded before $step", 'ABORTED')
    }

    /** Wait for a process within all time limits; the whole process tree ends with it. */
    private int await(Process process) {
        def limit = deadlines.min { it.at }
        def left = limit ? limit.at - System.nanoTime() : TimeUnit.DAYS.toNanos(1)
        def ended = process.waitFor(left, TimeUnit.NANOSECONDS)
        if (!ended) kill(process)
        running = null
        if (stopped) throw new StepFailed('stopped', 'ABORTED')
        if (!ended) throw new StepFailed("timeout of ${limit.seconds} s exceeded, the processes were ended", 'ABORTED')
        process.exitValue()
    }

    /** End a process and all its descendants, politely first; those that appear meanwhile are found as well. */
    private static void kill(Process process) {
        def all = [] as Set
        def end = System.currentTimeMillis() + GRACE_MS
        while (true) {
            def fresh = process.descendants().collect(java.util.stream.Collectors.toSet()) + process.toHandle() - all
            fresh.each { it.destroy() }
            all.addAll(fresh)
            if (!all.any { lives(it.pid()) } || System.currentTimeMillis() > end) break
            sleep(50)
        }
        all.each { it.destroyForcibly() }
        process.waitFor()
    }

    /** Whether a process runs; a zombie does not: where nothing reaps orphans it would seem to live for ever. */
    static boolean lives(long pid) {
        try { !(new File("/proc/$pid/stat").text =~ /\) Z /) } catch (IOException gone) { false }
    }

    /** Called from other threads, of which the first counts: end what runs now; what follows, but for `post`, refuses to start. */
    void stop() {
        if (!asked.compareAndSet(false, true)) return
        stopped = true
        def now = running
        if (now) kill(now)
        branches*.stop()
    }

    private static Thread reader(InputStream stream, Closure each) {
        Thread.startDaemon { new InputStreamReader(stream, 'UTF-8').eachLine { each(it) } }
    }
}

/** Ant-style file patterns: `**`, `*` and `?`. */
class Glob {
    static String regex(String glob) {
        glob.replaceAll(/\*\*\/|\*\*|\*|\?|[^*?]+/) {
            it == '**/' ? '(?:.*/)?' : it == '**' ? '.*' : it == '*' ? '[^/]*' : it == '?' ? '[^/]' :
                java.util.regex.Pattern.quote(it)
        }
    }
}
