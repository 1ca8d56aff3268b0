import java.time.Instant
import java.time.temporal.ChronoUnit

/** Collects the calls and assignments of a declarative block, without doing anything. */
class Recorder extends GroovyObjectSupport {
    final List<Map> calls = []
    final Map<String, Object> values = new LinkedHashMap<>()
    private final Steps steps

    Recorder(Steps steps) { this.steps = steps }

    static Recorder of(Steps steps, Closure block) {
        def recorder = new Recorder(steps)
        block.delegate = recorder
        block.resolveStrategy = Closure.DELEGATE_ONLY
        block.call()
        recorder
    }

    Object invokeMethod(String name, Object args) {
        def call = [name: name, args: args as List]
        calls << call
        call
    }

    Object getProperty(String name) {
        name in ['calls', 'values'] ? this.@"$name" : name == 'any' ? 'any' : name in values ? values[name] : steps[name]
    }

    void setProperty(String name, Object value) { values[name] = value }

    Closure block(String name) { calls.find { it.name == name }?.args?.last() as Closure }

    List<Map> each(String name) { calls.findAll { it.name == name } }
}

/** Runs the model of one pipeline: stages in order, conditions, time limits, post. */
class Runner {
    final Steps steps
    final BuildLog console
    final List<Map> stages
    String status = 'SUCCESS'
    String error
    /** Called whenever a stage begins or ends. */
    Closure changed = { }

    Runner(Steps steps, BuildLog console, List<Map> stages = Collections.synchronizedList([])) {
        this.steps = steps
        this.console = console
        this.stages = stages
    }

    void run(Closure pipeline) {
        def model = Recorder.of(steps, pipeline)
        def options = model.block('options') ? Recorder.of(steps, model.block('options')) : new Recorder(steps)
        console.stamps = options.each('timestamps')
        console.line("build ${steps.build.number} of ${steps.build.commit} on branch ${steps.build.branch} in ${steps.build.workspace}")
        steps.within(environmentOf(model)) {
            attempt { limited(options) { stagesOf(model.block('stages'), []) } }
            post(model)
        }
        console.line("Finished: $status")
    }

    private Map<String, String> environmentOf(Recorder model) {
        def block = model.block('environment')
        block ? Recorder.of(steps, block).values.collectEntries { k, v -> [k, v.toString()] } : [:]
    }

    private def limited(Recorder options, Closure body) {
        def timeout = options.each('timeout')
        if (!timeout) return body()
        def args = timeout[0].args[0]
        steps.limited(args instanceof Map ? args : [time: args], body)
    }

    /** Run `body`; what it throws becomes the build's status, the first one its error. */
    private void attempt(Closure body) {
        try {
            body()
        } catch (Throwable exc) {
            def failed = exc instanceof StepFailed ? exc : new StepFailed(place(exc))
            if (!failed.is(reported)) console.line("ERROR: ${failed.message}")
            reported = failed
            error = error ?: console.masked(failed.message)
            if (status != 'ABORTED') status = failed.status
            steps.currentBuild.result = status
        }
    }

    private Throwable reported

    private String place(Throwable exc) {
        def at = exc.stackTrace.find { it.fileName == steps.build.script }
        "${at ? "${at.fileName}:${at.lineNumber}: " : ''}${exc.class.simpleName}: ${exc.message}"
    }

    /** Run the stages of a `parallel` block side by side; all of them end, and the first error is the build's. */
    private void parallelOf(Closure block, List<String> path) {
        def branches = Recorder.of(steps, block).each('stage').collect { [it, new Runner(steps.branch(), console, stages)] }
        branches.collect { call, runner ->
            runner.changed = { synchronized (stages) { changed() } }
            Thread.startDaemon {
                BuildLog.BRANCH.set(call.args[0].toString())
                runner.stage(call.args[0].toString(), call.args[1], path)
            }
        }*.join()
        branches*.last().findAll { it.status != 'SUCCESS' }.each {
            error = error ?: it.error
            if (status != 'ABORTED') status = it.status
        }
    }

    private void stagesOf(Closure block, List<String> path) {
        Recorder.of(steps, block).each('stage').each { stage(it.args[0].toString(), it.args[1], path) }
    }

    private void stage(String name, Closure block, List<String> path) {
        def full = path + name
        def record = [name: full.join(' / '), status: 'SKIPPED', started: now(), seconds: 0]
        stages << record
        if (status != 'SUCCESS') {
            console.line("Stage \"$name\" skipped due to earlier failure(s)")
            return
        }
        def began = System.nanoTime()
        record.status = 'RUNNING'
        changed()
        attempt {
            def model = Recorder.of(steps, block)
            steps.within(environmentOf(model)) {
                if (model.block('when') && !conditions(model.block('when')).every()) {
                    console.line("Stage \"$name\" skipped due to when conditional")
                    record.status = 'SKIPPED'
                    return
                }
                console.line("[Pipeline] stage (${full.join(' / ')})")
                body(model, full)
                record.status = status
            }
        }
        if (status != 'SUCCESS') record.status = status
        record.seconds = seconds(began)
        changed()
    }

    private void body(Recorder model, List<String> path) {
        def options = model.block('options') ? Recorder.of(steps, model.block('options')) : new Recorder(steps)
        attempt {
            limited(options) {
                if (model.block('stages')) stagesOf(model.block('stages'), path)
                else if (model.block('parallel')) parallelOf(model.block('parallel'), path)
                else steps.run(model.block('steps'))
            }
        }
        post(model)
    }

    /** The answer of each condition in a `when` block. */
    private List<Boolean> conditions(Closure block) {
        Recorder.of(steps, block).calls.collect {
            def arg = it.args[0]
            switch (it.name) {
                case 'not': return !conditions(arg).every()
                case 'allOf': return conditions(arg).every()
                case 'anyOf': return conditions(arg).any()
                case 'expression': return steps.run(arg) as boolean
                case 'branch': return steps.build.branch ==~ Glob.regex((arg instanceof Map ? arg.pattern : arg) as String)
                case 'changeRequest': return 'CHANGE_ID' in steps.environment()
                case 'environment': return steps.environment()[arg.name] == arg.value
                default: throw new StepFailed("when ${it.name} is not known")
            }
        }
    }

    private void post(Recorder model) {
        def block = model.block('post')
        if (!block) return
        def recorded = Recorder.of(steps, block)
        steps.stopped = false
        Grammar.POST.each { condition ->
            def matches = [always: true, cleanup: true, aborted: status == 'ABORTED', failure: status == 'FAILURE',
                           success: status == 'SUCCESS', unsuccessful: status != 'SUCCESS'][condition]
            def body = recorded.block(condition)
            if (body && matches) {
                console.line("[Pipeline] post ($condition)")
                attempt { steps.limited(time: 5) { steps.run(body) } }
            }
        }
    }

    static String now() { Instant.now().truncatedTo(ChronoUnit.MILLIS).toString() }

    static double seconds(long since) { ((System.nanoTime() - since) / 1e7 as long) / 100 }
}
