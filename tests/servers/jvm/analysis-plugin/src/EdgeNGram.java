package syncline.analysis;

import java.util.Set;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.ngram.EdgeNGramTokenizer;
import org.elasticsearch.plugin.Inject;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenizerFactory;

@NamedComponent("edge_ngram")
public class EdgeNGram implements TokenizerFactory {
    private final int minGram;
    private final int maxGram;
    private final Set<String> tokenChars;

    @Inject
    public EdgeNGram(EdgeNGramSettings settings) {
        minGram = settings.minGram();
        maxGram = settings.maxGram();
        tokenChars = Set.copyOf(settings.tokenChars());
        for (String kind : tokenChars) {
            if (!Set.of("letter", "digit", "whitespace").contains(kind)) {
                throw new IllegalArgumentException("the plugin for tests does not know token_chars [" + kind + "]");
            }
        }
    }

    @Override
    public String name() {
        return "edge_ngram";
    }

    @Override
    public Tokenizer create() {
        return new EdgeNGramTokenizer(minGram, maxGram) {
            @Override
            protected boolean isTokenChar(int point) {
                return tokenChars.isEmpty()
                        || tokenChars.contains("letter") && Character.isLetter(point)
                        || tokenChars.contains("digit") && Character.isDigit(point)
                        || tokenChars.contains("whitespace") && Character.isWhitespace(point);
            }
        };
    }
}
