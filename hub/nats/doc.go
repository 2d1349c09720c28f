//go:build linux

// Package nats makes one of many hubs: a [Broker] carries what is published in the hub of one
// node to those of the others, through servers of NATS.
package nats
