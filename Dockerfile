# The image in which Kubeflow runs the pipeline's steps, and Dataflow or Flink its Beam workers.
#
#   docker build --tag facetfx .                      for CPUs
#   docker build --tag facetfx --build-arg GPU=1 .    with CUDA's libraries, for a Trainer with ACCELERATOR

# Two packages of the lock come as C++ sources; this image has the compiler that the slim one lacks.
FROM python:3.10 AS packages
ARG GPU=
RUN pip install --no-cache-dir uv
WORKDIR /packages
COPY requirements.lock requirements-gpu.lock ./
RUN python -m venv /opt/facetfx
RUN uv pip sync --no-cache --python /opt/facetfx/bin/python --compile-bytecode --require-hashes requirements.lock \
  ${GPU:+requirements-gpu.lock}

# Of the version in requirements.lock.
FROM apache/beam_python3.10_sdk:2.65.0 AS beam

FROM python:3.10-slim
COPY --from=packages /opt/facetfx /opt/facetfx
COPY --from=beam /opt/apache/beam /opt/apache/beam
WORKDIR /facetfx
COPY keras_models keras_models
COPY components components
COPY schemas schemas
COPY pipeline pipeline
# Dotted paths such as components.trainer.run_fn.run_fn are found from any folder.
ENV PATH=/opt/facetfx/bin:$PATH PYTHONPATH=/facetfx PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=1
# Kubeflow brings its own command; this is what starts a Beam worker, which would else make an environment of its own.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
ENTRYPOINT ["/opt/apache/beam/boot"]
