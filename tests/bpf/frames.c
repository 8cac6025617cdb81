/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "frames.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t port_l2[6] = {0x02, 0, 0, 0, 0x01, 0x01};
static const uint8_t sender_l2[6] = {0x02, 0, 0, 0, 0x02, 0x02};

/* A typo in a test's address must not become another test. */
static void text_to_addr(int family, const char *text, void *addr)
{
	if (inet_pton(family, text, addr) == 1)
		return;
	fprintf(stderr, "test frame: `%s` is no address\n", text);
	abort();
}

static void add_eth(struct frame *f, uint16_t ethertype)
{
	struct ethhdr *eth = frame_eth(f);

	memset(f, 0, sizeof(*f));
	memcpy(eth->h_dest, port_l2, 6);
	memcpy(eth->h_source, sender_l2, 6);
	eth->h_proto = htons(ethertype);
	f->len = ETH_HLEN;
}

void frame_fix_sum(struct frame *f)
{
	struct iphdr *ip = frame_ip4(f);
	uint32_t sum = 0;

	ip->check = 0;
	for (uint32_t i = 0; i < ip->ihl * 4u; i += 2)
		sum += (uint32_t)(f->b[ETH_HLEN + i] << 8 | f->b[ETH_HLEN + i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = htons((uint16_t)~sum);
}

static void add_ip4(struct frame *f, const struct flow *fl, uint8_t proto, uint32_t l4_len)
{
	struct iphdr *ip;

	add_eth(f, ETH_P_IP);
	ip = frame_ip4(f);
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = htons((uint16_t)(sizeof(*ip) + l4_len));
	ip->id = htons(0x1234);
	ip->frag_off = htons(0x4000); /* DF */
	ip->ttl = 64;
	ip->protocol = proto;
	text_to_addr(AF_INET, fl->src, &ip->saddr);
	text_to_addr(AF_INET, fl->dst, &ip->daddr);
	frame_fix_sum(f);
	f->l4_off = ETH_HLEN + sizeof(*ip);
	f->len = f->l4_off + l4_len;
	f->tuple = (struct xe_tuple4){
		.src_be = ip->saddr,
		.dst_be = ip->daddr,
		.sport_be = htons(fl->sport),
		.dport_be = htons(fl->dport),
		.proto = proto,
	};
}

static void add_ip6(struct frame *f, const struct flow *fl, uint8_t proto, uint32_t l4_len)
{
	struct ipv6hdr *ip;

	add_eth(f, ETH_P_IPV6);
	ip = frame_ip6(f);
	ip->version = 6;
	ip->payload_len = htons((uint16_t)l4_len);
	ip->nexthdr = proto;
	ip->hop_limit = 64;
	text_to_addr(AF_INET6, fl->src, &ip->saddr);
	text_to_addr(AF_INET6, fl->dst, &ip->daddr);
	memcpy(&f->src6, &ip->saddr, sizeof(f->src6));
	memcpy(&f->dst6, &ip->daddr, sizeof(f->dst6));
	f->tuple = (struct xe_tuple4){
		.sport_be = htons(fl->sport),
		.dport_be = htons(fl->dport),
		.proto = proto,
		.family = 6,
	};
	f->l4_off = ETH_HLEN + sizeof(*ip);
	f->len = f->l4_off + l4_len;
}

static void fill_udp(struct frame *f, const struct flow *fl, uint32_t payload_len)
{
	struct udphdr *udp = frame_udp(f);

	udp->source = htons(fl->sport);
	udp->dest = htons(fl->dport);
	udp->len = htons((uint16_t)(sizeof(*udp) + payload_len));
	for (uint32_t i = 0; i < payload_len; i++)
		f->b[f->l4_off + sizeof(*udp) + i] = (uint8_t)i;
}

static void fill_tcp(struct frame *f, const struct flow *fl, uint8_t flags)
{
	struct tcphdr *tcp = frame_tcp(f);

	tcp->source = htons(fl->sport);
	tcp->dest = htons(fl->dport);
	tcp->seq = htonl(1000);
	tcp->doff = 5;
	tcp->window = htons(64240);
	f->b[f->l4_off + 13] = flags;
}

void frame_udp4(struct frame *f, const struct flow *fl, uint32_t payload_len)
{
	add_ip4(f, fl, IPPROTO_UDP, sizeof(struct udphdr) + payload_len);
	fill_udp(f, fl, payload_len);
}

void frame_tcp4(struct frame *f, const struct flow *fl, uint8_t flags, uint32_t payload_len)
{
	add_ip4(f, fl, IPPROTO_TCP, sizeof(struct tcphdr) + payload_len);
	fill_tcp(f, fl, flags);
}

void frame_proto4(struct frame *f, const struct flow *fl, uint8_t proto)
{
	add_ip4(f, fl, proto, 8);
}

/* The quoted one backwards. */
static void quote_tuple(struct frame *f, const struct frame *quoted)
{
	f->src6 = quoted->dst6;
	f->dst6 = quoted->src6;
	f->tuple = (struct xe_tuple4){
		.src_be = quoted->tuple.dst_be,
		.dst_be = quoted->tuple.src_be,
		.sport_be = quoted->tuple.dport_be,
		.dport_be = quoted->tuple.sport_be,
		.proto = quoted->tuple.proto,
		.family = quoted->tuple.family,
	};
}

void frame_error4(struct frame *f, const char *src, const char *dst, uint8_t type,
		  const struct frame *quoted, uint32_t quote_len)
{
	uint32_t len = quote_len ? quote_len : quoted->len - ETH_HLEN;

	add_ip4(f, &(struct flow){src, dst, 0, 0}, IPPROTO_ICMP, 8 + len);
	f->b[f->l4_off] = type;
	memcpy(f->b + f->l4_off + 8, quoted->b + ETH_HLEN, len);
	quote_tuple(f, quoted);
}

void frame_error6(struct frame *f, const char *src, const char *dst, uint8_t type,
		  const struct frame *quoted, uint32_t quote_len)
{
	uint32_t len = quote_len ? quote_len : quoted->len - ETH_HLEN;

	add_ip6(f, &(struct flow){src, dst, 0, 0}, IPPROTO_ICMPV6, 8 + len);
	f->b[f->l4_off] = type;
	memcpy(f->b + f->l4_off + 8, quoted->b + ETH_HLEN, len);
	quote_tuple(f, quoted);
}

void frame_udp6(struct frame *f, const struct flow *fl, uint32_t payload_len)
{
	add_ip6(f, fl, IPPROTO_UDP, sizeof(struct udphdr) + payload_len);
	fill_udp(f, fl, payload_len);
}

void frame_tcp6(struct frame *f, const struct flow *fl, uint8_t flags)
{
	add_ip6(f, fl, IPPROTO_TCP, sizeof(struct tcphdr));
	fill_tcp(f, fl, flags);
}

void frame_arp(struct frame *f)
{
	static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1};

	add_eth(f, ETH_P_ARP);
	memset(frame_eth(f)->h_dest, 0xff, 6);
	memcpy(f->b + ETH_HLEN, request, sizeof(request));
	f->len = ETH_HLEN + 28;
}

static void open_gap(struct frame *f, uint32_t off, uint32_t gap_len)
{
	memmove(f->b + off + gap_len, f->b + off, f->len - off);
	memset(f->b + off, 0, gap_len);
	f->len += gap_len;
	f->l4_off += gap_len;
}

void frame_add_ext(struct frame *f, uint8_t type, uint32_t hdr_len)
{
	struct ipv6hdr *ip = frame_ip6(f);
	uint32_t off = f->l4_off;
	uint8_t *next = &ip->nexthdr;

	/* The last link of the chain so far. */
	for (uint32_t at = ETH_HLEN + sizeof(*ip); at < off; at += 8 + f->b[at + 1] * 8u)
		next = &f->b[at];
	open_gap(f, off, hdr_len);
	f->b[off] = *next;
	f->b[off + 1] = (uint8_t)(hdr_len / 8 - 1);
	*next = type;
	f->is_frag6 |= type == IPPROTO_FRAGMENT;
	ip->payload_len = htons((uint16_t)(ntohs(ip->payload_len) + hdr_len));
}

void frame_add_options(struct frame *f, uint32_t words)
{
	struct iphdr *ip = frame_ip4(f);
	uint32_t off = f->l4_off;

	open_gap(f, off, words * 4);
	memset(f->b + off, 1, words * 4); /* NOP */
	ip->ihl += words & 15;
	ip->tot_len = htons((uint16_t)(ntohs(ip->tot_len) + words * 4));
	frame_fix_sum(f);
}

void frame_add_vlan(struct frame *f, uint16_t vlan)
{
	uint16_t tag[2] = {htons(ETH_P_8021Q), htons(vlan)};

	open_gap(f, 12, sizeof(tag));
	memcpy(f->b + 12, tag, sizeof(tag));
}

void frame_pad(struct frame *f, uint32_t len)
{
	while (f->len < len)
		f->b[f->len++] = 0xee;
}
