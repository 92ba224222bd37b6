package syncline.analysis;

import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.miscellaneous.RemoveDuplicatesTokenFilter;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenFilterFactory;

/** Named by the index in which Elasticsearch keeps its API keys; enough for that: it looks at one position at a time. */
@NamedComponent("unique")
public class Unique implements TokenFilterFactory {
    @Override
    public String name() {
        return "unique";
    }

    @Override
    public TokenStream create(TokenStream tokens) {
        return new RemoveDuplicatesTokenFilter(tokens);
    }
}
