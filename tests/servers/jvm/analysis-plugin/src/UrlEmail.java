package syncline.analysis;

import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.email.UAX29URLEmailTokenizer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenizerFactory;

/** Named by the index in which Elasticsearch keeps its API keys. */
@NamedComponent("uax_url_email")
public class UrlEmail implements TokenizerFactory {
    @Override
    public String name() {
        return "uax_url_email";
    }

    @Override
    public Tokenizer create() {
        return new UAX29URLEmailTokenizer();
    }
}
