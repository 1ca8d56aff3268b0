import org.codehaus.groovy.ast.ASTNode
import org.codehaus.groovy.ast.CodeVisitorSupport
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.*
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.MultipleCompilationErrorsException
import org.codehaus.groovy.control.Phases

/** Reads a Jenkinsfile without running it and lists everything the harness does not know. */
class Check {
    final String file
    final List<Map> findings = []
    /** Every call met, outermost first: what the house rules look at. */
    final List<Map> calls = []
    private final LinkedList<String> path = new LinkedList<>()

    Check(String file) { this.file = file }

    /** Findings `[rule, file, line, message]`, in the order of the file. */
    static Check read(String file, String text) {
        def check = new Check(file)
        check.parse(text)
        check.findings.sort { it.line }
        check
    }

    void refuse(ASTNode node, String rule, String message) {
        findings << [rule: rule, file: file, line: Math.max(1, node.lineNumber), message: message]
    }

    private void parse(String text) {
        def unit = new CompilationUnit()
        unit.addSource(file, text)
        try {
            unit.compile(Phases.CONVERSION)
        } catch (MultipleCompilationErrorsException exc) {
            def cause = exc.errorCollector.getSyntaxError(0)
            findings << [rule: 'syntax', file: file, line: cause?.line ?: 1,
                         message: (cause?.message ?: exc.message).readLines()[0]]
            return
        }
        def module = unit.AST.modules[0]
        module.imports.each { refuse(it, 'unknown-statement', 'import is not known here') }
        if (module.classes.size() > 1) refuse(module.classes[1], 'unknown-statement', 'a class is not known here')
        module.methods.each { refuse(it, 'unknown-statement', "method ${it.name} is not known here") }
        def statements = module.statementBlock.statements
        def pipelines = statements.findAll { callName(it) == 'pipeline' }
        (statements - pipelines).each { refuse(it, 'unknown-statement', 'only one pipeline { } may stand at the top') }
        if (pipelines.size() == 1) pipeline(callOf(pipelines[0]))
        else if (!findings) refuse(module.statementBlock, 'missing-section', 'there must be exactly one pipeline { }')
    }

    private void pipeline(MethodCallExpression call) {
        def found = sections(call, Grammar.PIPELINE, 'pipeline')
        ['agent', 'stages'].findAll { !(it in found) }.each {
            refuse(call, 'missing-section', "pipeline has no $it section")
        }
    }

    /** Check each statement of a block whose content is sections; return their names. */
    private List<String> sections(MethodCallExpression call, Map<String, String> known, String where) {
        def found = []
        eachCall(call, where) { MethodCallExpression inner, String name ->
            if (!known[name]) return refuse(inner, 'unknown-section', "$name is not known in $where")
            if (name in found) refuse(inner, 'duplicate-section', "$where has $name twice")
            found << name
            "${known[name]}"(inner)
        }
        found
    }

    private void agent(MethodCallExpression call) {
        def args = arguments(call)
        if (closureOf(call)) {
            eachCall(call, 'agent') { inner, name ->
                if (name != 'label') refuse(inner, 'unknown-agent', "agent $name is not known; label, any")
                else constants(inner, "agent label")
            }
        } else if (args.size() != 1 || !(args[0] instanceof VariableExpression) || args[0].name != 'any') {
            refuse(call, 'unknown-agent', 'agent takes any or { label … }')
        }
    }

    private void options(MethodCallExpression call) { listed(call, Grammar.OPTIONS, 'options', 'unknown-option') }

    private void stageOptions(MethodCallExpression call) {
        listed(call, Grammar.STAGE_OPTIONS, 'options of a stage', 'unknown-option')
    }

    private void listed(MethodCallExpression call, Map<String, List<String>> known, String where, String rule) {
        eachCall(call, where) { MethodCallExpression inner, String name ->
            if (!known[name]) return refuse(inner, rule, "$name is not known in $where")
            record(inner, name)
            parameters(inner, name, known[name])
        }
    }

    private void environment(MethodCallExpression call) {
        statementsOf(call).each { Statement statement ->
            def e = statement instanceof ExpressionStatement ? statement.expression : null
            def plain = e instanceof BinaryExpression && e.operation.text == '=' && e.leftExpression instanceof VariableExpression
            if (!plain) return refuse(statement, 'unknown-statement', "environment takes NAME = 'value'")
            if (!(e.rightExpression instanceof ConstantExpression || e.rightExpression instanceof GStringExpression)) {
                return refuse(statement, 'unknown-value', 'environment takes text; credentials belong round a step')
            }
            expression(e.rightExpression, [:])
        }
    }

    private void stages(MethodCallExpression call) {
        def count = 0
        eachCall(call, 'stages') { MethodCallExpression inner, String name ->
            if (name != 'stage') return refuse(inner, 'unknown-section', "$name is not known in stages")
            count++
            def args = arguments(inner)
            if (!(args && args[0] instanceof ConstantExpression)) refuse(inner, 'unknown-value', 'a stage has a plain name')
            path << (args ? args[0].text : '?')
            record(inner, 'stage')
            def before = findings.size()
            def found = sections(inner, Grammar.STAGE, 'stage')
            if (found.count { it in ['steps', 'stages', 'parallel'] } != 1 && findings.size() == before) {
                refuse(inner, 'missing-section', "stage ${path.last()} needs either steps, stages or parallel")
            }
            path.removeLast()
        }
        if (!count) refuse(call, 'missing-section', 'stages has no stage')
    }

    private void parallel(MethodCallExpression call) {
        if (branches) refuse(call, 'nested-parallel', 'Jenkins takes no parallel inside a parallel')
        branches++
        stages(call)
        branches--
    }

    private int branches = 0

    private void when(MethodCallExpression call) {
        eachCall(call, 'when') { MethodCallExpression inner, String name ->
            def parameters = Grammar.WHEN[name]
            if (!parameters) refuse(inner, 'unknown-condition', "$name is not known in when")
            else if (name in ['not', 'allOf', 'anyOf']) when(inner)
            else if (name == 'expression') expressionBlock(inner)
            else this.parameters(inner, name, parameters)
        }
    }

    private void expressionBlock(MethodCallExpression call) {
        closureOf(call)?.code?.visit(visitor(Grammar.STEPS))
    }

    private void post(MethodCallExpression call) {
        eachCall(call, 'post') { MethodCallExpression inner, String name ->
            if (!(name in Grammar.POST)) return refuse(inner, 'unknown-condition', "$name is not known in post")
            path << "post $name".toString()
            steps(inner)
            path.removeLast()
        }
    }

    private void steps(MethodCallExpression call) {
        if (!statementsOf(call)) refuse(call, 'missing-section', 'a block of steps is empty')
        eachCall(call, 'steps', 'unknown-step') { MethodCallExpression inner, String name -> step(inner, name) }
    }

    private def step(MethodCallExpression call, String name) {
        if (!Grammar.STEPS[name]) return refuse(call, 'unknown-step', "step $name is not known")
        record(call, name)
        parameters(call, name, Grammar.STEPS[name])
        if (!(name in Grammar.BLOCK_STEPS)) {
            if (closureOf(call)) refuse(call, 'unknown-parameter', "$name takes no block")
            return
        }
        if (!closureOf(call)) return refuse(call, 'unknown-parameter', "$name needs a block")
        if (name == 'script') return closureOf(call).code.visit(visitor(Grammar.STEPS))
        path << name
        steps(call)
        path.removeLast()
    }

    /** Check names and values of a call's parameters. */
    private void parameters(MethodCallExpression call, String name, List<String> known) {
        def values = Grammar.VALUES[name] ?: [:]
        def plain = arguments(call).findAll { !(it instanceof MapExpression) && !(it instanceof ClosureExpression) }
        if (plain.size() > (known[0] ? 1 : 0)) refuse(call, 'unknown-parameter', "$name has a value too many")
        plain.each { expression(it, values) }
        arguments(call).findAll { it instanceof MapExpression }.collectMany { it.mapEntryExpressions }.each {
            def key = it.keyExpression.text
            if (!key || !(key in known)) refuse(it, 'unknown-parameter', "$name has no parameter $key")
            expression(it.valueExpression, values)
        }
    }

    private void constants(MethodCallExpression call, String what) {
        if (!arguments(call).every { it instanceof ConstantExpression }) refuse(call, 'unknown-value', "$what takes plain text")
    }

    private void expression(Expression e, Map<String, List<String>> values) { e.visit(visitor(values)) }

    /** Refuses calls, variables and constructs that are not known, anywhere below the node visited. */
    private CodeVisitorSupport visitor(Map<String, List<String>> known) {
        def self = this
        def locals = [] as Set
        new CodeVisitorSupport() {
            void visitMethodCallExpression(MethodCallExpression call) {
                def name = call.methodAsString
                if (!call.implicitThis) {
                    if (!(name in Grammar.METHODS)) self.refuse(call, 'unknown-call', "method $name is not known")
                } else if (!known[name]) {
                    self.refuse(call, known == Grammar.STEPS ? 'unknown-step' : 'unknown-call', "$name is not known here")
                } else if (known == Grammar.STEPS && name in Grammar.BLOCK_STEPS) {
                    self.step(call, name)
                    return
                } else {
                    self.record(call, name)
                    self.parameterNames(call, name, known[name])
                }
                super.visitMethodCallExpression(call)
            }
            void visitDeclarationExpression(DeclarationExpression e) {
                if (!e.multipleAssignmentDeclaration) locals << e.variableExpression.name
                super.visitDeclarationExpression(e)
            }
            void visitVariableExpression(VariableExpression e) {
                def ok = e.name in Grammar.VARIABLES || e.name in locals || e.name in ['this', 'it'] || e.name ==~ /[A-Z][A-Z0-9_]*/
                if (!ok) self.refuse(e, 'unknown-variable', "variable ${e.name} is not known")
            }
            void visitConstructorCallExpression(ConstructorCallExpression e) {
                self.refuse(e, 'unknown-call', "new ${e.type.name} is not known")
            }
            void visitStaticMethodCallExpression(StaticMethodCallExpression e) {
                self.refuse(e, 'unknown-call', "${e.method} is not known")
            }
            void visitMethodPointerExpression(MethodPointerExpression e) {
                self.refuse(e, 'unknown-call', 'a method pointer is not known')
            }
        }
    }

    private void parameterNames(MethodCallExpression call, String name, List<String> known) {
        arguments(call).findAll { it instanceof MapExpression }.collectMany { it.mapEntryExpressions }.each {
            def key = it.keyExpression.text
            if (!(key in known)) refuse(it, 'unknown-parameter', "$name has no parameter $key")
        }
    }

    private void record(MethodCallExpression call, String name) {
        calls << [name: name, line: call.lineNumber, path: path*.toString(), node: call]
    }

    private def eachCall(MethodCallExpression call, String where, String rule = 'unknown-statement', Closure visit) {
        if (!closureOf(call)) return refuse(call, 'missing-section', "$where needs a block")
        statementsOf(call).each {
            if (callName(it)) visit(callOf(it), callName(it))
            else refuse(it, rule, "this is not a call known in $where (each on a line of its own)")
        }
    }

    static List<Expression> arguments(MethodCallExpression call) {
        call.arguments instanceof TupleExpression ? call.arguments.expressions : [call.arguments]
    }

    static ClosureExpression closureOf(MethodCallExpression call) {
        arguments(call).find { it instanceof ClosureExpression } as ClosureExpression
    }

    static List<Statement> statementsOf(MethodCallExpression call) {
        def code = closureOf(call)?.code
        code instanceof BlockStatement ? code.statements : code ? [code] : []
    }

    static MethodCallExpression callOf(Statement statement) {
        def e = statement instanceof ExpressionStatement ? statement.expression : null
        e instanceof MethodCallExpression && e.implicitThis ? e : null
    }

    static String callName(Statement statement) { callOf(statement)?.methodAsString }
}
