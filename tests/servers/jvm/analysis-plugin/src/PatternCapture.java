package syncline.analysis;

import java.util.regex.Pattern;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.pattern.PatternCaptureGroupTokenFilter;
import org.elasticsearch.plugin.Inject;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenFilterFactory;

/** Named by the index in which Elasticsearch keeps its API keys. */
@NamedComponent("pattern_capture")
public class PatternCapture implements TokenFilterFactory {
    private final Pattern[] patterns;
    private final boolean preserveOriginal;

    @Inject
    public PatternCapture(PatternCaptureSettings settings) {
        patterns = settings.patterns().stream().map(Pattern::compile).toArray(Pattern[]::new);
        preserveOriginal = settings.preserveOriginal();
    }

    @Override
    public String name() {
        return "pattern_capture";
    }

    @Override
    public TokenStream create(TokenStream tokens) {
        return new PatternCaptureGroupTokenFilter(tokens, preserveOriginal, patterns);
    }
}
