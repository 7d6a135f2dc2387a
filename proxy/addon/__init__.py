"""What runs inside mitmproxy, in mitmproxy's own Python environment: nothing here is imported by the pipeline."""
