import groovy.json.JsonSlurper
import java.nio.file.Files
import java.nio.file.attribute.PosixFilePermissions

/** The credentials file given by path: JSON, id to {username, password}, {secret} or {file}; mode 0600. */
class Credentials {
    private final File store
    private final File temporary

    Credentials(File store, File temporary) {
        this.store = store
        this.temporary = temporary
        if (!store) return
        if (!store.file) throw new IllegalArgumentException("credentials file $store does not exist")
        def mode = PosixFilePermissions.toString(Files.getPosixFilePermissions(store.toPath()))
        if (mode != 'rw-------' && mode != 'r--------') {
            throw new IllegalArgumentException("credentials file $store is $mode; run `chmod 600 $store`")
        }
    }

    /** Call `body` with the variables of all bindings; values are masked, secret files removed afterwards. */
    void bind(List<Map> bindings, BuildLog console, Closure body) {
        def files = []
        try {
            def variables = bindings.collectEntries { variables(it, console, files) }
            console.line("credentials ${bindings*.credentialsId.join(', ')} as ${variables.keySet().join(', ')}")
            body(variables)
        } finally {
            files*.delete()
        }
    }

    private Map<String, String> variables(Map binding, BuildLog console, List<File> files) {
        def entry = store ? new JsonSlurper().parse(store)[binding.credentialsId] : null
        if (!entry) throw new StepFailed("credential ${binding.credentialsId} is not in ${store ?: 'any credentials file'}")
        def wanted = [usernamePassword: ['username', 'password'], string: ['secret'], file: ['file']][binding.kind]
        def missing = wanted.findAll { !entry[it] }
        if (missing) throw new StepFailed("credential ${binding.credentialsId} has no ${missing.join(', ')}")
        if (binding.kind == 'usernamePassword') {
            console.mask(entry.password)
            return [(binding.usernameVariable): entry.username, (binding.passwordVariable): entry.password]
        }
        if (binding.kind == 'string') {
            console.mask(entry.secret)
            return [(binding.variable): entry.secret]
        }
        def source = new File(entry.file as String)
        def copy = Files.createTempFile(temporary.toPath(), 'secret-', '',
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString('rw-------'))).toFile()
        files << copy
        copy.bytes = source.bytes
        console.mask(copy.path)
        console.mask(source.getText('UTF-8'))
        [(binding.variable): copy.path]
    }
}
