"""Convolutions of INT8 maps, summed in INT32."""
