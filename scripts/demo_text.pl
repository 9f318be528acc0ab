#!/usr/bin/perl
# Turns the documentation of three Debian packages into plain English prose, one file a document.
#
#   demo_text.pl ROOT OUT
#
# ROOT: where the packages are unpacked (a folder that holds usr/).  OUT: gets anarchism/*.txt, perl-doc/*.txt and
# jargon-text/*.txt.  Needs perl-base and gzip only, which every Debian machine has.
#
# Paragraphs are joined to one line, markup is taken out, code and lists of names are left out, and a paragraph that
# stood anywhere before (old editions, tables of contents) is dropped, so that held-out documents are not copies of
# training documents.
use strict;
use warnings;

my ($root, $out) = @ARGV;
die "usage: demo_text.pl ROOT OUT\n" unless defined $out && -d $root;

my (%seen, $n_files, $n_bytes);

sub slurp {
    my ($path) = @_;
    open my $in, '-|', 'gzip', '-dcf', $path or die "demo_text.pl: gzip: $!\n";
    binmode $in;
    local $/;
    my $text = <$in>;
    close $in or die "demo_text.pl: cannot read $path\n";
    return $text;
}

# A paragraph is prose if it is long enough and mostly words.
sub is_prose {
    my ($p) = @_;
    return 0 if length($p) < 80;
    my $letters = () = $p =~ /[A-Za-z ]/g;
    return $letters > 0.85 * length $p;
}

sub write_document {
    my ($set, $name, @paragraphs) = @_;
    my @kept;
    for my $p (@paragraphs) {
        $p =~ s/\s+/ /g;
        $p =~ s/^ | $//g;
        (my $key = lc $p) =~ s/[^a-z0-9]//g;
        push @kept, $p if is_prose($p) && !$seen{$key}++;
    }
    return unless @kept;
    my $text = join("\n\n", @kept) . "\n";
    return if length($text) < 1000;
    mkdir "$out/$set";
    open my $file, '>', "$out/$set/$name.txt" or die "demo_text.pl: $out/$set/$name.txt: $!\n";
    binmode $file;
    print $file $text;
    close $file or die "demo_text.pl: $out/$set/$name.txt: $!\n";
    $n_files++;
    $n_bytes += length $text;
}

sub base_name { my ($path) = @_; $path =~ s{.*/}{}; $path =~ s/\.(md|pod|txt)(\.gz)?$//; return $path; }

# Markdown: quotes, emphasis, links, headings.
for my $path (sort glob "$root/usr/share/doc/anarchism/markdown/*.md.gz") {
    my $text = slurp($path);
    $text =~ s/^(?:> ?)+//mg;
    $text =~ s/!?\[([^\]]*)\]\([^)]*\)/$1/g;
    $text =~ s/\*\*|\b_|_\b|(?<=\s)_(?=\W)|(?<=\W)_(?=\s|$)//mg;
    $text =~ s/\\([-.*_#+])/$1/g;
    write_document('anarchism', base_name($path), grep { !/^\s*(#|\*|\|)/ } split /\n\s*\n/, $text);
}

# POD: plain paragraphs only; formatting codes are replaced by their text.
for my $path (sort glob "$root/usr/share/perl/*/pod/*.pod") {
    next if $path =~ m{/perl(toc|api|intern|uniprops|ko|cn|jp|tw|modlib)\.pod$};
    my $text = slurp($path);
    my @paragraphs = grep { !/^[=\s]/ } split /\n\s*\n/, $text;
    for (@paragraphs) {
        1 while s/[A-Z]<<+\s+(.*?)\s+>>+/$1/gs || s/L<(?:([^|<>]*)\|)[^<>]*>/$1/g || s/[A-Z]<([^<>]*)>/$1/g;
    }
    write_document('perl-doc', base_name($path), @paragraphs);
}

# The Jargon File: indented text; cut into documents at its entries' first letters would be few, so by thousand lines.
for my $path (glob "$root/usr/share/doc/jargon-text/jargon.txt.gz") {
    my @lines = split /\n/, slurp($path);
    my $part = 0;
    while (my @chunk = splice @lines, 0, 1000) {
        my $text = join "\n", @chunk;
        write_document('jargon-text', sprintf('part%03d', $part++), split /\n\s*\n/, $text);
    }
}

die "demo_text.pl: found no text below $root\n" unless $n_files;
printf STDERR "demo text: %d documents, %d bytes of prose\n", $n_files, $n_bytes;
