"""Checks that a candidate has to pass. They read typed fields, trees and raw rows; none reads a proposer's words."""
