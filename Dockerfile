# A CPU is all that it needs; the two commands of the README.
#
#   docker build -t sv3dgen .
#   docker run --rm -v "$PWD/outputs:/sv3dgen/outputs" sv3dgen views=examples/tugboat
#
# pip takes torch's build for CUDA from the package index. PyTorch's own CPU index saves gigabytes:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=ADDRESS -t sv3dgen .
FROM python:3.11-slim
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1
WORKDIR /sv3dgen
# The packages first: they stay where only the code changes.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir sv3dgen && touch sv3dgen/__init__.py && python3.11 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e .
COPY . .
ENV PATH=/sv3dgen/.venv/bin:$PATH
ENTRYPOINT ["python", "launch.py"]
CMD ["--help"]
