"""What training SV3D takes: noise, loss, optimizer, adapters, averages and first weights."""
