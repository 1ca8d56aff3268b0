/** What the harness knows of declarative pipelines: a name that is not listed here is refused. */
class Grammar {
    /** Section or directive inside `pipeline` or `stage`, to the name of the check for its content. */
    static final Map<String, String> PIPELINE = [agent: 'agent', options: 'options', environment: 'environment',
                                                 stages: 'stages', post: 'post']
    static final Map<String, String> STAGE = [environment: 'environment', options: 'stageOptions', when: 'when',
                                              stages: 'stages', parallel: 'parallel', steps: 'steps',
                                              post: 'post']

    /** Call to its parameters; the first is the one that may stand without a name, '' if none may. */
    static final Map<String, List<String>> OPTIONS = [
        timeout: ['time', 'unit'], disableConcurrentBuilds: ['', 'abortPrevious'], buildDiscarder: ['strategy'],
        skipDefaultCheckout: ['flag'], timestamps: ['']]
    static final Map<String, List<String>> STAGE_OPTIONS = [timeout: ['time', 'unit']]
    static final Map<String, List<String>> WHEN = [
        branch: ['pattern'], environment: ['', 'name', 'value'], expression: [''], changeRequest: [''],
        not: [''], allOf: [''], anyOf: ['']]
    static final Map<String, List<String>> STEPS = [
        sh: ['script', 'returnStdout', 'returnStatus', 'label'], echo: ['message'], error: ['message'],
        checkout: ['scm'], archiveArtifacts: ['artifacts', 'allowEmptyArchive', 'fingerprint'], cleanWs: [''],
        withCredentials: ['bindings'], withEnv: ['overrides'], dir: ['path'], timeout: ['time', 'unit'], script: ['']]
    static final Set<String> BLOCK_STEPS = ['withCredentials', 'withEnv', 'dir', 'timeout', 'script'] as Set

    /** Calls that are values: only as an argument of the step or option named. */
    static final Map<String, Map<String, List<String>>> VALUES = [
        withCredentials: [usernamePassword: ['', 'credentialsId', 'usernameVariable', 'passwordVariable'],
                          string: ['', 'credentialsId', 'variable'], file: ['', 'credentialsId', 'variable']],
        buildDiscarder : [logRotator: ['', 'numToKeepStr', 'daysToKeepStr', 'artifactNumToKeepStr',
                                       'artifactDaysToKeepStr']]]

    /** Methods of text and lists that an expression may call. */
    static final Set<String> METHODS = ['trim', 'contains', 'startsWith', 'endsWith', 'isEmpty', 'toInteger', 'equals',
                                        'toLowerCase', 'replace', 'split', 'join', 'any', 'size'] as Set
    static final Set<String> VARIABLES = ['env', 'currentBuild', 'scm'] as Set

    /** In the order in which Jenkins evaluates them. */
    static final List<String> POST = ['always', 'aborted', 'failure', 'success', 'unsuccessful', 'cleanup']
    static final Map<String, Integer> SECONDS = [SECONDS: 1, MINUTES: 60, HOURS: 3600]
}
