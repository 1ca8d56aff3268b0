import groovy.json.JsonOutput
import org.codehaus.groovy.control.CompilerConfiguration
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit

/** What a Jenkinsfile is compiled to; not named like one, or it would be its own base class. */
abstract class DeclarativeScript extends Script {
    def pipeline(Closure body) { binding.variables.pipeline = body }
}

class Harness {
    static final List<String> VALUES = ['jenkinsfile', 'script', 'repo', 'commit', 'branch', 'build-dir', 'number', 'job', 'credentials',
                                        'parent']

    static int main(List<String> args) {
        try {
            if (args && args[0] == '--lint') return lint(args.drop(1))
            def options = parse(args)
            def build = prepare(options)
            def text = options.jenkinsfile ? new File(options.jenkinsfile as String).getText('UTF-8') :
                git(['-C', build.repo, 'show', "${build.commit}:${build.script}".toString()])
            def check = Check.read(build.script, text)
            if (check.findings) return refuse(check.findings, build)
            return run(text, build, options)
        } catch (IllegalArgumentException | IOException exc) {
            System.err.println("harness: ${exc.message}")
            return 2
        }
    }

    /** Print findings, `file:line: rule: message`, or all of them as one JSON list. */
    static int lint(List<String> args) {
        def files = args - '--json'
        if (!files) throw new IllegalArgumentException('--lint needs at least one file')
        def findings = files.collectMany {
            def text = new File(it).getText('UTF-8')
            def check = Check.read(it, text)
            check.findings ?: Rules.read(check, text)
        }
        if ('--json' in args) println JsonOutput.toJson(findings)
        else {
            findings.each { println "${it.file}:${it.line}: ${it.rule}: ${it.message}" }
            println "${files.size()} file(s), ${findings.size()} finding(s)"
        }
        findings ? 1 : 0
    }

    static Map parse(List<String> args) {
        def options = [:]
        def rest = args as LinkedList
        while (rest) {
            def name = rest.removeFirst()
            def key = name.startsWith('--') ? name.substring(2) : null
            if (!(key in VALUES) || !rest) throw new IllegalArgumentException("$name is not known, or has no value; --${VALUES.join(' V --')} V")
            options[key] = rest.removeFirst()
        }
        ['repo', 'build-dir'].each { if (!options[it]) throw new IllegalArgumentException("--$it is needed") }
        options
    }

    /** The build's folders, made new: an existing workspace is never touched. */
    static Map prepare(Map options) {
        def home = new File(options['build-dir'] as String).absoluteFile
        def repo = options.repo.contains('://') ? options.repo : new File(options.repo as String).absolutePath
        def workspace = new File(home, 'workspace')
        if (workspace.list()) throw new IllegalArgumentException("$workspace is not empty; give every build a folder of its own")
        def temporary = new File(home, 'tmp')
        [workspace, temporary, new File(home, 'archive')]*.mkdirs()
        def commit = options.commit ?: git(['-C', repo, 'rev-parse', 'HEAD']).trim()
        [home: home, workspace: workspace, temporary: temporary, archive: new File(home, 'archive'), repo: repo,
         commit: commit, branch: options.branch ?: 'main', number: (options.number ?: '1') as int,
         job: options.job ?: 'source', script: options.jenkinsfile ?: options.script ?: 'ci/Jenkinsfile']
    }

    static int run(String text, Map build, Map options) {
        def credentials = new Credentials(options.credentials ? new File(options.credentials as String) : null, build.temporary)
        def console = new BuildLog(new File(build.home as File, 'log'))
        def steps = new Steps(build, console, credentials)
        def runner = new Runner(steps, console)
        def done = new CountDownLatch(1)
        Runtime.runtime.addShutdownHook(new Thread({ if (done.count) { steps.stop(); done.await(20, TimeUnit.SECONDS) } }))
        if (options.parent) watch(options.parent as long, steps)
        def began = System.nanoTime()
        def started = Runner.now()
        def record = { String status ->
            write(build, [status: status, error: runner.error, started: started, seconds: Runner.seconds(began), stages: runner.stages])
        }
        runner.changed = { record('RUNNING') }
        def shell = new GroovyShell(Harness.classLoader, new Binding(), new CompilerConfiguration(scriptBaseClass: 'DeclarativeScript'))
        def script = shell.parse(text, build.script)
        script.run()
        runner.run(script.binding.variables.pipeline)
        record(runner.status)
        build.temporary.deleteDir()
        console.close()
        done.countDown()
        runner.status == 'SUCCESS' ? 0 : 1
    }

    /** End the build when the process that asked for it is gone. */
    static void watch(long pid, Steps steps) {
        Thread.startDaemon {
            while (Steps.lives(pid)) sleep(500)
            steps.stop()
        }
    }

    static int refuse(List<Map> findings, Map build) {
        def lines = findings.collect { "${it.file}:${it.line}: ${it.rule}: ${it.message}" }
        new File(build.home as File, 'log').text = lines.join('\n') + '\n'
        lines.each { System.err.println(it) }
        write(build, [status: 'FAILURE', error: lines[0], started: Runner.now(), seconds: 0, stages: []])
        1
    }

    static void write(Map build, Map result) {
        def record = [number: build.number, job: build.job, commit: build.commit, branch: build.branch] + result
        def partial = new File(build.home as File, 'result.json.partial')
        partial.text = JsonOutput.prettyPrint(JsonOutput.toJson(record)) + '\n'
        partial.renameTo(new File(build.home as File, 'result.json'))
    }

    static String git(List<String> args) {
        def process = (['git'] + args).execute()
        def output = new StringBuilder(), errors = new StringBuilder()
        process.waitForProcessOutput(output, errors)
        if (process.exitValue()) throw new IllegalArgumentException("git ${args[-1]}: ${errors.toString().trim()}")
        output.toString()
    }
}

System.exit(Harness.main(args as List<String>))
