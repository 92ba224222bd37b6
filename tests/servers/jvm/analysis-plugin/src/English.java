package syncline.analysis;

import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.AnalyzerFactory;

@NamedComponent("english")
public class English implements AnalyzerFactory {
    @Override
    public String name() {
        return "english";
    }

    @Override
    public Analyzer create() {
        return new EnglishAnalyzer();
    }
}
