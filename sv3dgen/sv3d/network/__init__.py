"""SV3D's networks: denoiser, autoencoder and image encoder."""
