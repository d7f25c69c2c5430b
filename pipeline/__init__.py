"""What runs: experiments, the pipeline graph, the runners."""
