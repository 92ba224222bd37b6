package syncline.analysis;

import org.apache.lucene.analysis.LowerCaseFilter;
import org.apache.lucene.analysis.TokenStream;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenFilterFactory;

@NamedComponent("lowercase")
public class Lowercase implements TokenFilterFactory {
    @Override
    public String name() {
        return "lowercase";
    }

    @Override
    public TokenStream create(TokenStream tokens) {
        return new LowerCaseFilter(tokens);
    }

    // Without it a normalizer, or a prefix query on an analysed field, would keep its capitals.
    @Override
    public TokenStream normalize(TokenStream tokens) {
        return new LowerCaseFilter(tokens);
    }
}
