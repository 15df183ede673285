"""Measures how long a cancel takes while every core computes and jobs come and go."""
