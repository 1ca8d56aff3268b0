import org.codehaus.groovy.ast.expr.Expression
import org.codehaus.groovy.ast.expr.GStringExpression

/** House rules for a Jenkinsfile that is already known to be well formed; only `--lint` applies them. */
class Rules {
    static final List<String> OPTIONS = ['timeout', 'disableConcurrentBuilds', 'buildDiscarder', 'skipDefaultCheckout',
                                         'timestamps']
    static final List<String> ORDER = ['slipway ci test', 'slipway ci build', 'slipway ci scan', 'slipway ci push',
                                       'slipway ci sign', 'slipway bump']
    static final int LINES = 80

    final Check check
    final List<Map> shells

    Rules(Check check) {
        this.check = check
        shells = check.calls.findAll { it.name == 'sh' }.collect { it + [script: scriptOf(it)] }
    }

    static List<Map> read(Check check, String text) {
        def rules = new Rules(check)
        rules.with { length(text); options(); shellText(); order(); credentials(); post() }
        check.findings.sort { it.line }
    }

    private void find(int line, String rule, String message) {
        check.findings << [rule: rule, file: check.file, line: line, message: message]
    }

    private void length(String text) {
        def count = text.readLines().size()
        if (count > LINES) find(LINES + 1, 'too-long', "$count lines; logic belongs into a command, $LINES are allowed")
    }

    private void options() {
        def present = check.calls.findAll { !it.path }*.name
        (OPTIONS - present).each { find(1, 'missing-option', "options has no $it") }
    }

    private void shellText() {
        shells.each {
            if (expressions(it).any { it instanceof GStringExpression }) {
                find(it.line, 'interpolated-sh', 'sh takes single-quoted text: Groovy would write a secret into the log')
            }
            if (it.script =~ /\b(kubectl|helm|argocd|kubeconfig|KUBECONFIG)\b/) {
                find(it.line, 'cluster-access', 'the pipeline has no way into a cluster; a commit is the only way')
            }
            if (it.script =~ /\|\|\s*(true|:|echo|exit 0)/) {
                find(it.line, 'hidden-failure', 'a failure of this command would be reported as success')
            }
            if (it.script =~ /:\/\/[^\/\s]*@/) find(it.line, 'token-in-url', 'credentials never go into a URL')
        }
    }

    /** A later command of the chain never stands before an earlier one, and none is left out. */
    private void order() {
        def places = ORDER.collect { command -> shells.findIndexOf { it.script.contains(command) } }
        def last = places.findLastIndexOf { it >= 0 }
        (0..<Math.max(0, last)).each { i ->
            if (places[i] < 0) find(shells[places[last]].line, 'stage-order', "${ORDER[last]} without ${ORDER[i]} before it")
            else if (places[i + 1] >= 0 && places[i + 1] < places[i]) {
                find(shells[places[i + 1]].line, 'stage-order', "${ORDER[i + 1]} stands before ${ORDER[i]}")
            }
        }
    }

    private void credentials() {
        check.calls.findAll { it.name == 'withCredentials' }.each {
            if (Check.statementsOf(it.node).size() > 1) {
                find(it.line, 'wide-credentials', 'withCredentials goes round the one step that needs it')
            }
        }
    }

    private void post() {
        ['archiveArtifacts', 'cleanWs'].each { step ->
            if (!check.calls.any { it.name == step && it.path.any { p -> p.startsWith('post') } }) {
                find(1, 'missing-post', "post has no $step")
            }
        }
    }

    private static List<Expression> expressions(Map call) {
        Check.arguments(call.node).collectMany {
            it.respondsTo('getMapEntryExpressions') ? it.mapEntryExpressions*.valueExpression : [it]
        }
    }

    private static String scriptOf(Map call) { expressions(call)*.text.join(' ') }
}
