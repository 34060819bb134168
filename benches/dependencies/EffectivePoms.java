import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.maven.model.Dependency;
import org.apache.maven.model.Model;
import org.apache.maven.model.Parent;
import org.apache.maven.model.Repository;
import org.apache.maven.model.building.DefaultModelBuilderFactory;
import org.apache.maven.model.building.DefaultModelBuildingRequest;
import org.apache.maven.model.building.FileModelSource;
import org.apache.maven.model.building.ModelBuildingException;
import org.apache.maven.model.building.ModelBuildingRequest;
import org.apache.maven.model.building.ModelSource2;
import org.apache.maven.model.resolution.ModelResolver;
import org.apache.maven.model.resolution.UnresolvableModelException;

/** Prints what Maven makes of the dependencies of every pom.xml of a folder: name, version, and whether it is for tests. */
public class EffectivePoms {
    static final int LEVEL = ModelBuildingRequest.VALIDATION_LEVEL_MINIMAL;

    /** Parents and imports are those of the folder. */
    record Tree(Map<String, File> known) implements ModelResolver {
        public ModelSource2 resolveModel(String group, String artifact, String version) throws UnresolvableModelException {
            File file = known.get(group + ":" + artifact + ":" + version);
            if (file == null) throw new UnresolvableModelException("is not in the folder", group, artifact, version);
            return new FileModelSource(file);
        }

        public ModelSource2 resolveModel(Parent parent) throws UnresolvableModelException {
            return resolveModel(parent.getGroupId(), parent.getArtifactId(), parent.getVersion());
        }

        public ModelSource2 resolveModel(Dependency named) throws UnresolvableModelException {
            return resolveModel(named.getGroupId(), named.getArtifactId(), named.getVersion());
        }

        public void addRepository(Repository repository) {}

        public void addRepository(Repository repository, boolean replace) {}

        public ModelResolver newCopy() {
            return this;
        }
    }

    public static void main(String[] arguments) throws Exception {
        List<File> files;
        try (var found = Files.walk(Path.of(arguments[0]))) {
            files = found.filter(path -> path.endsWith("pom.xml")).sorted().map(Path::toFile).toList();
        }
        var builder = new DefaultModelBuilderFactory().newInstance();
        Map<String, File> known = new HashMap<>();
        for (File file : files) {
            Model raw = builder.buildRawModel(file, LEVEL, false).get();
            String group = raw.getGroupId() != null ? raw.getGroupId() : raw.getParent().getGroupId();
            String version = raw.getVersion() != null ? raw.getVersion() : raw.getParent().getVersion();
            known.put(group + ":" + raw.getArtifactId() + ":" + version, file);
        }
        for (File file : files) {
            var request = new DefaultModelBuildingRequest().setPomFile(file).setModelResolver(new Tree(known));
            request.setValidationLevel(LEVEL).setSystemProperties(new Properties());
            Model model;
            try {
                model = builder.build(request).getEffectiveModel();
            } catch (ModelBuildingException error) {
                model = error.getModel();
            }
            for (Dependency named : model.getDependencies()) {
                String version = named.getVersion() == null ? "" : named.getVersion();
                String test = "test".equals(named.getScope()) ? "test" : "";
                System.out.println(named.getGroupId() + ":" + named.getArtifactId() + "\t" + version + "\t" + test);
            }
        }
    }
}
