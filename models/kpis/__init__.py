"""What lists were worth: conversion, velocity, lifecycle and calibration by tier.

No figure of merit of a model (models/evaluation).
"""
