"""A local server: TensorFlow Serving's REST API for pushed models, and a page that talks to it."""
