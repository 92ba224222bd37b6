from tools.metrics_docs import PAGE, page


def test_the_metrics_page_says_what_the_metrics_module_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"
